/// Values are made on the cores and many are freed by the store's threads, which costs this one least.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    node::cli::run(std::env::args_os())
}
