import ArgumentParser

extension QTool {
  static var commands: [any ParsableCommand.Type] { [] }
}
