import ArgumentParser

extension QTool {
  static var commands: [any ParsableCommand.Type] {
    [PerplexityCommand.self, DriftCommand.self, TokenizeCommand.self]
  }
}
