import Foundation
import GGUF

extension ReportPage {
  /// Short metadata keys that are not hyperparameters: a file's statements about how it was made.
  func provenance(of file: File) -> [[String: Any]] {
    let prefixes = ["general.", "quantize.", "qtool."]
    return file.metadata.compactMap { key, value -> [String: Any]? in
      guard prefixes.contains(where: key.hasPrefix), !key.hasSuffix(".recipe"), let text = value.shortText else {
        return nil
      }
      return ["key": key, "value": text]
    }
  }

  /// Commands that run a file in other programs.
  func running(_ file: File) -> [[String: Any]] {
    let isShard = file.name.firstRange(of: /-\d{5}-of-\d{5}/) != nil
    let stem = file.name.replacing(/\.gguf$/, with: "")
    var examples: [[String: Any]] = [
      ["program": "llama.cpp", "command": "llama-cli -m \(file.name) -c 8192"]
    ]
    if isShard {
      let merge = commands?.merge(file.name, stem + ".gguf") ?? ": merge the shards to \(stem).gguf"
      examples.append([
        "program": "Ollama",
        "command": merge + "   # Ollama takes no shards\n"
          + "echo 'FROM ./\(stem).gguf' > Modelfile\nollama create \(stem.lowercased()) -f Modelfile",
      ])
    } else {
      examples.append([
        "program": "Ollama",
        "command":
          "echo 'FROM ./\(file.name)' > Modelfile\nollama create \(stem.lowercased()) -f Modelfile\n"
          + "ollama run \(stem.lowercased())",
      ])
    }
    examples.append(["program": "LM Studio", "command": "lms import \(file.name)"])
    return examples
  }
}

extension MetadataValue {
  /// The value on one line; nil for lists and long texts.
  fileprivate var shortText: String? {
    switch self {
    case .string(let text): text.count <= 200 && !text.contains("\n") ? text : nil
    case .array: nil
    default: "\(self)".firstMatch(of: /\((.*)\)/).map { String($0.output.1) }
    }
  }
}

/// The index of a value's shade, of nine shades that divide `range` by equal ratios.
func logarithmicShade(_ value: Double, _ range: ClosedRange<Double>) -> Int {
  guard value > range.lowerBound, range.upperBound > range.lowerBound else { return 0 }
  return min(8, Int(log(value / range.lowerBound) / log(range.upperBound / range.lowerBound) * 9))
}
