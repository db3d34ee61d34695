import ArgumentParser

/// How a command that measures reports: a table for people, or one of two forms for programs.
struct ReportOptions: ParsableArguments {
  @Flag(name: .long, help: "Print JSON: every figure with its error.") var json = false
  @Flag(name: .long, help: "Print comma-separated values: a row a model and kind of text.") var csv = false

  func validate() throws {
    if json && csv { throw ValidationError("choose one of --json and --csv") }
  }

  /// Prints a report in the form that was asked for.
  func show(_ report: some Encodable, csv: @autoclosure () -> String, table: @autoclosure () -> String) throws {
    if json { try printJSON(report) } else { print(self.csv ? csv() : table()) }
  }

  /// Rows as RFC 4180 has them, with lines that end as the system's do.
  static func csv(_ rows: [[String]]) -> String {
    rows.map { row in
      row.map { cell in
        cell.contains { ",\"\n\r".contains($0) } ? "\"\(cell.replacing("\"", with: "\"\""))\"" : cell
      }.joined(separator: ",")
    }.joined(separator: "\n")
  }
}
