import Files
import Foundation
import GGUF
import Tensors
import Yams

/// The YAML in front of a model's README.md, as far as a GGUF has keys for it.
struct ModelCard {
  private let root: Node.Mapping

  /// Nil where there is no card. One that is no valid YAML counts as none: nothing but descriptions depends on it.
  ///
  /// - Throws: `TextError` where the file is UTF-16 or UTF-32, or the YAML is not UTF-8. What is behind it may be anything.
  init?(directory: String) throws {
    let path = directory + "/README.md"
    guard FileManager.default.fileExists(atPath: path) else { return nil }
    let file = try PositionedFile(path: path)
    let bytes = try file.bytes(in: 0..<file.size)
    let content = try TextFile.content(of: bytes, path: path)
    let ends = Set("\r\n".utf8)
    // A CR LF ends one line, and an empty one.
    let lines = content.split(omittingEmptySubsequences: false) { ends.contains($0) }
    guard let first = lines.first, first.elementsEqual("---".utf8) else { return nil }
    let end = lines.dropFirst().first { $0.elementsEqual("---".utf8) }?.startIndex ?? content.endIndex
    let text = try TextFile(bytes: Array(bytes[..<end]), path: path).text
    let yaml = String(text.dropFirst(4)).replacing("\t", with: "  ")
    guard let node = try? Yams.compose(yaml: yaml), let mapping = node.mapping else { return nil }
    root = mapping
  }

  func string(_ keys: String...) -> String? {
    keys.lazy.compactMap { root[$0].flatMap(Self.text) }.first
  }

  /// One string or several.
  func strings(_ keys: String...) -> [String] {
    keys.flatMap { key -> [String] in
      guard let node = root[key] else { return [] }
      return node.sequence?.compactMap(Self.text) ?? Self.text(node).map { [$0] } ?? []
    }
  }

  /// A license may be a list.
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
