//! Conversations and lists together: shards with a store in memory and sessions that are there without a login.

mod bounds;
mod contacts;
mod crash;
mod credits;
mod end_to_end;
mod full;
mod marks;
mod pulls;
mod recalls;
mod sends;
mod storm;
mod syncs;
mod unhurried;
mod verbs;
mod world;
