import Foundation
import Tensors

/// Tables of the benchmark, as Markdown.
enum Report {
  static func encoders(_ summaries: [TypeSummary]) -> String {
    var lines = [
      "| Type | ns/weight | ggml | faster | error | ggml | error ratio, mean | worst tensor |",
      "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for summary in summaries {
      let cells = [
        summary.type.name, fixed(summary.nanoseconds, 2), fixed(summary.ggmlNanoseconds, 2),
        fixed(summary.speedup, 2), scientific(summary.error), scientific(summary.ggmlError),
        fixed(summary.errorRatio?.mean, 4), fixed(summary.errorRatio?.worst, 4),
      ]
      lines.append("| " + cells.joined(separator: " | ") + " |")
    }
    return lines.joined(separator: "\n")
  }

  static func tensors(_ summary: TypeSummary) -> String {
    var lines = [
      "| \(summary.type.name) | ns/weight | ggml | error | ggml | error ratio |", "|---|--:|--:|--:|--:|--:|",
    ]
    for one in summary.measurements {
      let ratio = one.ggmlError.map { $0 > 0 ? one.error / $0 : 1 }
      let cells = [
        one.name, fixed(one.nanoseconds, 2), fixed(one.ggmlNanoseconds, 2), scientific(one.error),
        scientific(one.ggmlError), fixed(ratio, 4),
      ]
      lines.append("| " + cells.joined(separator: " | ") + " |")
    }
    return lines.joined(separator: "\n")
  }

  /// Elapsed seconds for one matrix, by number of threads.
  static func threads(_ rows: [(type: GGMLType, seconds: [Double])], _ counts: [Int]) -> String {
    let heads = counts.map { "seconds, \($0) thread\($0 == 1 ? "" : "s")" }
    var lines = [
      "| Type | \(heads.joined(separator: " | ")) | gain |",
      "|---|" + String(repeating: "--:|", count: counts.count + 1),
    ]
    for row in rows {
      let gain = row.seconds.first.flatMap { first in row.seconds.last.map { first / $0 } }
      let cells = [row.type.name] + row.seconds.map { fixed($0, 3) } + [fixed(gain, 2)]
      lines.append("| " + cells.joined(separator: " | ") + " |")
    }
    return lines.joined(separator: "\n")
  }

  private static func fixed(_ value: Double?, _ digits: Int) -> String {
    value.map { String(format: "%.\(digits)f", $0) } ?? "-"
  }

  private static func scientific(_ value: Double?) -> String { value.map { String(format: "%.4e", $0) } ?? "-" }

  /// Writes `text` between the two marks of `section` in a Markdown file, or appends the section with its heading.
  static func write(_ text: String, section: String, heading: String, to path: String) throws {
    let open = "<!-- \(section) -->"
    let close = "<!-- /\(section) -->"
    let old = (try? String(contentsOfFile: path, encoding: .utf8)) ?? "# Benchmarks\n"
    let body = "\(open)\n\(text)\n\(close)"
    if let start = old.range(of: open), let end = old.range(of: close), start.lowerBound < end.lowerBound {
      let new = old.replacingCharacters(in: start.lowerBound..<end.upperBound, with: body)
      try new.write(toFile: path, atomically: true, encoding: .utf8)
    } else {
      try (old + "\n## \(heading)\n\n\(body)\n").write(toFile: path, atomically: true, encoding: .utf8)
    }
  }
}
