import ArgumentParser

extension QTool {
  static var commands: [any ParsableCommand.Type] {
    [
      QuantizeCommand.self, SensitivityCommand.self, ImatrixCommand.self, ConvertCommand.self, PerplexityCommand.self,
      DriftCommand.self, TokenizeCommand.self, VerifyCommand.self, InspectCommand.self, ExplainCommand.self,
      DiffCommand.self, SplitCommand.self, MergeCommand.self, PlanCommand.self, ReportCommand.self, CardCommand.self,
      JoinCommand.self,
    ]
  }
}
