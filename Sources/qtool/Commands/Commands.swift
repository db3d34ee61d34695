import ArgumentParser

extension QTool {
  static var commands: [any ParsableCommand.Type] {
    [
      QuantizeCommand.self, ImatrixCommand.self, ConvertCommand.self, PerplexityCommand.self, DriftCommand.self,
      TokenizeCommand.self, VerifyCommand.self, InspectCommand.self, DiffCommand.self,
      SplitCommand.self, MergeCommand.self,
    ]
  }
}
