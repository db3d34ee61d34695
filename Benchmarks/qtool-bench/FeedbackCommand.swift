import ArgumentParser
import Blocks
import Foundation
import Tensors

/// Benchmarks of encoding with error feedback.
struct FeedbackCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "feedback",
    abstract: "Measure the time of encoding with error feedback, by columns, type and effort.",
    discussion: """
      Weights are normal, the Gram matrix is synthetic: correlated inputs of unequal size. Times are CPU time of one \
      thread, the minimum of the repetitions.
      """)

  @Option(parsing: .upToNextOption, help: "Numbers of columns.") var columns = [256, 1024, 4096, 16384]
  @Option(parsing: .upToNextOption, help: "Types to measure (default: all that take feedback).")
  var types: [String] = []
  @Option(parsing: .upToNextOption, help: "Efforts to measure.") var efforts = FeedbackEffort.allCases.map(\.rawValue)
  @Option(help: "Number of runs of each encoder.") var repetitions = 2
  @Option(help: "Minimum number of weights to encode.") var weights = 1 << 17
  @Option(help: "A Markdown file to write the tables to.") var write: String?
  @Option(help: "Name of the machine in the table.") var machine: String?

  func run() throws {
    let types = try chosenTypes()
    let efforts = try efforts.map { number in
      guard let effort = FeedbackEffort(rawValue: number) else { throw ValidationError("--efforts \(number): 1 to 3") }
      return effort
    }
    var report = FeedbackTable(types: types, efforts: efforts, columns: columns)
    for width in columns {
      let benchmark = try FeedbackBenchmark(columns: width, weights: weights, repetitions: repetitions)
      report.factorSeconds.append(benchmark.factorSeconds)
      for type in types {
        for effort in efforts { report.seconds[type, default: []].append(try benchmark.seconds(as: type, effort)) }
        FileHandle.standardError.write(Data("\(width) columns, \(type.name)\n".utf8))
      }
    }
    let text = "\(machine ?? "This machine"), one thread.\n\n" + report.markdown
    print(text)
    if let write { try Report.write(text, section: "feedback", heading: "Error feedback", to: write) }
  }

  private func chosenTypes() throws -> [GGMLType] {
    if types.isEmpty { return GGMLType.allCases.filter(\.takesFeedback) }
    return try types.map { name in
      guard let type = GGMLType(name: name), type.takesFeedback else {
        throw ValidationError("--types \(name): no type that takes error feedback")
      }
      return type
    }
  }
}
