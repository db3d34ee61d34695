import Foundation
import GGUF

/// Prints a value as JSON, with keys in snake case and sorted, so that outputs can be compared.
func printJSON(_ value: some Encodable) throws {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
  encoder.keyEncodingStrategy = .convertToSnakeCase
  encoder.nonConformingFloatEncodingStrategy = .convertToString(
    positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
  print(String(decoding: try encoder.encode(value), as: UTF8.self))
}

/// Writes a result to standard output. All output goes through this function, which shows bytes of a model's strings that
/// are not UTF-8 as U+FFFD.
func print(_ text: String, terminator: String = "\n") { Swift.print(text.readable, terminator: terminator) }
