import GGUF
import Inspection
import Tensors

/// The output of `qtool diff`, as text and as JSON.
struct DifferenceReport {
  let first: any ModelSource
  let second: any ModelSource
  let metadata: [MetadataDifference]
  let tensors: ModelDifference
  /// Relative errors of ``ModelDifference/common``; nil if no weights were read.
  let errors: [Double?]?

  var text: String {
    var parts = ["A  \(line(first))\nB  \(line(second))"]
    parts.append(metadataText)
    let unmatched = [("only in A", tensors.onlyInFirst), ("only in B", tensors.onlyInSecond)]
    for (title, list) in unmatched where !list.isEmpty {
      parts.append(title + ":\n" + list.map { "  \($0.name) \($0.shape) \($0.type)" }.joined(separator: "\n"))
    }
    if !tensors.otherShape.isEmpty {
      let lines = tensors.otherShape.map { "  \($0.first.name): \($0.first.shape) and \($0.second.shape)" }
      parts.append("different shapes:\n" + lines.joined(separator: "\n"))
    }
    parts.append(tensorText)
    return parts.joined(separator: "\n\n")
  }

  private func line(_ model: any ModelSource) -> String {
    let inventory = Inventory(model.tensors)
    return "\(model.name): \(model.tensors.count) tensors, \(Figures.grouped(inventory.bytes)) bytes, "
      + "\(Figures.fixed(inventory.bitsPerWeight, 4)) bits per weight"
  }

  private var metadataText: String {
    guard !metadata.isEmpty else { return "metadata: equal" }
    var table = Table([("key", .left), ("A", .left), ("B", .left)])
    for difference in metadata {
      let texts = MetadataText.lines(difference.first, difference.second, width: 28)
      table.add([difference.key, texts.first, texts.second])
    }
    return table.rendered()
  }

  private var tensorText: String {
    let equal = zip(tensors.common, errors ?? []).count { $0.first.type == $0.second.type && $1 == 0 }
    if errors != nil, equal == tensors.common.count { return "tensors: all \(equal) in both are equal, bit for bit" }
    var table = Table(
      [("tensor", .left), ("shape", .left), ("A", .left), ("B", .left)]
        + (errors == nil ? [] : [("relative error", .right)]))
    for (index, pair) in tensors.common.enumerated() {
      let cells = [pair.first.name, pair.first.shape.description, pair.first.type.name, pair.second.type.name]
      if let errors {
        if pair.first.type != pair.second.type || errors[index] != 0 {
          table.add(cells + [errors[index].map { Figures.significant($0) } ?? "not comparable"])
        }
      } else if pair.first.type != pair.second.type {
        table.add(cells)
      }
    }
    let same = tensors.common.count { $0.first.type == $0.second.type }
    if errors == nil {
      let summary = "\(same) of \(tensors.common.count) tensors in both have the same type"
      return same == tensors.common.count ? summary : table.rendered() + "\n\n" + summary
    }
    return table.rendered() + "\n\n\(equal) of \(tensors.common.count) tensors in both are equal, bit for bit"
      + "\nrelative error: sum (A - B)² / sum A²"
  }

  struct JSON: Encodable {
    struct Key: Encodable {
      let key: String
      let first: MetadataJSON?
      let second: MetadataJSON?
    }
    struct Tensor: Encodable {
      let name: String
      let shape: [Int]
      let types: [String]
      let relativeError: Double?
    }
    let first: String
    let second: String
    let metadata: [Key]
    let onlyInFirst: [String]
    let onlyInSecond: [String]
    let otherShape: [String]
    let tensors: [Tensor]
  }

  var json: JSON {
    JSON(
      first: first.name, second: second.name,
      metadata: metadata.map { difference in
        JSON.Key(
          key: difference.key, first: difference.first.map { MetadataJSON(key: difference.key, value: $0) },
          second: difference.second.map { MetadataJSON(key: difference.key, value: $0) })
      },
      onlyInFirst: tensors.onlyInFirst.map(\.name), onlyInSecond: tensors.onlyInSecond.map(\.name),
      otherShape: tensors.otherShape.map(\.first.name),
      tensors: tensors.common.enumerated().map { index, pair in
        JSON.Tensor(
          name: pair.first.name, shape: pair.first.shape.dimensions,
          types: [pair.first.type.name, pair.second.type.name],
          relativeError: errors?[index])
      })
  }
}
