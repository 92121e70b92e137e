//! What the operator asks through the admin socket.

use record::Rows;

use crate::admin::AdminRequest;
use crate::core::Core;
use crate::login::Logins;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LoadKey {}

#[derive(Debug, Default)]
pub struct Operator {}

impl Operator {
    pub(crate) fn handle(&mut self, _: &mut Core, _: &mut Logins, _: u64, _: AdminRequest) {}
    pub(crate) fn handle_loaded(&mut self, _: &mut Core, _: LoadKey, _: Vec<Rows>) {}
}
