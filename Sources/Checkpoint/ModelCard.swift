import Foundation
import GGUF
import Yams

/// The YAML in front of a model's README.md, as far as a GGUF has keys for it.
struct ModelCard {
  private let root: Node.Mapping

  /// Nil where there is no card. One that is no valid YAML counts as none: nothing but descriptions depends on it.
  init?(directory: String) {
    guard let text = try? String(contentsOfFile: directory + "/README.md", encoding: .utf8) else { return nil }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map {
      $0.hasSuffix("\r") ? $0.dropLast() : $0
    }
    guard lines.first == "---" else { return nil }
    let yaml = lines.dropFirst().prefix { $0 != "---" }.joined(separator: "\n").replacing("\t", with: "  ")
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
