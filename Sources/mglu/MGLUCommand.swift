import ArgumentParser

/// The root of the command tree: configuration only, one file per subcommand.
@main
struct MGLUCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mglu",
    abstract: "Train, look into and run language models with Masked Gated Linear Units.")
}
