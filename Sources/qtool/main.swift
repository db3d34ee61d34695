import ArgumentParser
import CMachine

struct QTool: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "qtool", abstract: "Quantize language models to a size.")
}
QTool.main()
