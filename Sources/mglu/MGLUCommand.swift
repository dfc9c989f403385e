import ArgumentParser
import MGLUCompute

/// The root of the command tree: configuration only, one file per subcommand.
@main
struct MGLUCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mglu",
    abstract: "Train, look into and run language models with Masked Gated Linear Units.",
    version: "0.1.0-dev",
    subcommands: [
      TrainCommand.self, CompareCommand.self, GenerateCommand.self, ChatCommand.self,
      EvaluateCommand.self, PlanCommand.self,
      LogitsCommand.self, InspectCommand.self, ConvertCommand.self, TokenizerCommand.self,
      DataCommand.self, DemoCommand.self, ServeCommand.self, BenchCommand.self,
      VerifyCommand.self, DevicesCommand.self,
    ])

  /// Runs the subcommand of the arguments. Remedies of its errors name its flags.
  static func main() async {
    MappedFile.survivesTruncation()
    do {
      var command = try await asyncParseAsRoot()
      do {
        if var command = command as? any AsyncParsableCommand {
          try await command.run()
        } else {
          try command.run()
        }
      } catch let error as ValidationError {
        // The parser knows no longer which command this is, and would show the usage of the root.
        Output.note("Error: \(error.message)")
        exit(withError: ExitCode.validationFailure)
      } catch {
        throw Remedies.inFlags(error, of: command)
      }
    } catch {
      exit(withError: error)
    }
  }
}
