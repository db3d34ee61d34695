import ArgumentParser

/// The output format of a measuring command: a table, JSON or CSV.
struct ReportOptions: ParsableArguments {
  @Flag(name: .long, help: "Print JSON: every figure with its error.") var json = false
  @Flag(name: .long, help: "Print CSV: one row per model and kind of text.") var csv = false

  func validate() throws {
    if json && csv { throw ValidationError("choose one of --json and --csv") }
  }

  /// Prints a report in the chosen format.
  func show(_ report: some Encodable, csv: @autoclosure () -> String, table: @autoclosure () -> String) throws {
    if json { try printJSON(report) } else { print(self.csv ? csv() : table()) }
  }

  /// Rows as in RFC 4180, but with the system's line ends.
  static func csv(_ rows: [[String]]) -> String {
    rows.map { row in
      row.map { cell in
        cell.contains { ",\"\n\r".contains($0) } ? "\"\(cell.replacing("\"", with: "\"\""))\"" : cell
      }.joined(separator: ",")
    }.joined(separator: "\n")
  }
}
