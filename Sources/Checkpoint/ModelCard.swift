import Files
import Foundation
import GGUF
import Tensors
import Yams

/// The YAML front matter of a model's README.md.
struct ModelCard {
  /// Empty for a card that is not valid YAML.
  private let root: Node.Mapping
  /// The error in a card that is not valid YAML. It is not thrown, since only descriptive keys depend on the card.
  let fault: String?

  /// Returns nil if there is no card.
  ///
  /// - Throws: `TextError` if the file is UTF-16 or UTF-32, or the YAML is not UTF-8. The text after the YAML is not
  ///   checked.
  init?(directory: String) throws {
    let path = directory + "/README.md"
    guard FileManager.default.fileExists(atPath: path) else { return nil }
    let file = try PositionedFile(path: path)
    let bytes = try file.bytes(in: 0..<file.size)
    let content = try TextFile.content(of: bytes, path: path)
    let ends = Set("\r\n".utf8)
    // CR LF gives an additional empty line.
    let lines = content.split(omittingEmptySubsequences: false) { ends.contains($0) }
    guard let first = lines.first, first.elementsEqual("---".utf8) else { return nil }
    let end = lines.dropFirst().first { $0.elementsEqual("---".utf8) }?.startIndex ?? content.endIndex
    let text = try TextFile(bytes: Array(bytes[..<end]), path: path).text
    let yaml = String(text.dropFirst(4)).replacing("\t", with: "  ")
    do {
      // An empty card has no keys.
      let node = try Yams.compose(yaml: yaml)
      root = node?.mapping ?? Node.Mapping([])
      let isEmpty = node.map { $0.tag.description == "tag:yaml.org,2002:null" } ?? true
      fault = node?.mapping == nil && !isEmpty ? "is not a mapping" : nil
    } catch {
      root = Node.Mapping([])
      fault = Self.fault(error)
    }
  }

  /// The first line of README.md is the mark before the YAML.
  private static func fault(_ error: any Error) -> String {
    switch error as? YamlError {
    case .scanner(_, _, let mark, _), .parser(_, _, let mark, _), .composer(_, _, let mark, _):
      "is not valid YAML at line \(mark.line + 1)"
    case .duplicatedKeysInMapping(let keys, _): "has two values of key \(keys.sorted().first ?? "")"
    default: "is not valid YAML"
    }
  }

  func string(_ keys: String...) -> String? {
    keys.lazy.compactMap { root[$0].flatMap(Self.text) }.first
  }

  /// The values of a string or of a list of strings.
  func strings(_ keys: String...) -> [String] {
    keys.flatMap { key -> [String] in
      guard let node = root[key] else { return [] }
      return node.sequence?.compactMap(Self.text) ?? Self.text(node).map { [$0] } ?? []
    }
  }

  /// The license; a list is joined with commas.
  var license: String? {
    guard let node = root["license"] else { return nil }
    return node.sequence?.compactMap(Self.text).joined(separator: ",") ?? Self.text(node)
  }

  private static func text(_ node: Node) -> String? {
    guard let scalar = node.scalar, !scalar.string.isEmpty, node.tag.description != "tag:yaml.org,2002:null" else {
      return nil
    }
    return scalar.string
  }
}
