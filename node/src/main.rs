fn main() -> std::process::ExitCode {
    node::cli::run(std::env::args_os())
}
