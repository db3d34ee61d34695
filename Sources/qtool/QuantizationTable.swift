import GGUF
import Quantize
import Tensors

/// Tables of the tensors and types of a file.
enum QuantizationTable {
  static func tensors(_ plan: RewritePlan) -> String {
    var table = Table([
      ("tensor", .left), ("shape", .left), ("from", .left), ("to", .left), ("bytes", .right), ("bpw", .right),
    ])
    var weights = 0
    for (from, to) in zip(plan.source.tensors, plan.layout.tensors) {
      let bytes = to.shape.bytes(as: to.type) ?? 0
      weights += to.shape.count
      table.add([
        to.name, to.shape.description, from.type.name, to.type.name, Figures.grouped(bytes),
        Figures.fixed(to.type.bitsPerWeight, 4),
      ])
    }
    return table.rendered() + "\n\n" + total(plan, weights: weights)
  }

  /// One line: bytes of the whole file and bits per weight.
  static func total(_ plan: RewritePlan, weights: Int? = nil) -> String {
    let count = weights ?? plan.source.tensors.reduce(0) { $0 + $1.shape.count }
    let data = plan.totalBytes - plan.headerBytes
    return "\(Figures.grouped(plan.totalBytes)) bytes in total, "
      + "\(Figures.fixed(Double(data) * 8 / Double(max(1, count)), 4)) bits per weight"
  }

  /// The files of a model in shards.
  static func shards(_ shards: GGUFShards, _ paths: [String]) -> String {
    var table = Table([("file", .left), ("tensors", .right), ("bytes", .right)])
    for (path, layout) in zip(paths, shards.layouts) {
      table.add([path, Figures.grouped(layout.tensors.count), Figures.grouped(layout.totalBytes)])
    }
    return table.rendered()
  }

  /// Number of tensors and bytes by type.
  static func types(_ plan: RewritePlan) -> String {
    var counts: [GGMLType: (tensors: Int, bytes: Int)] = [:]
    for tensor in plan.layout.tensors {
      counts[tensor.type, default: (0, 0)].tensors += 1
      counts[tensor.type, default: (0, 0)].bytes += tensor.shape.bytes(as: tensor.type) ?? 0
    }
    var table = Table([("type", .left), ("tensors", .right), ("bytes", .right)])
    for (type, count) in counts.sorted(by: { ($0.value.bytes, $0.key.rawValue) > ($1.value.bytes, $1.key.rawValue) }) {
      table.add([type.name, "\(count.tensors)", Figures.grouped(count.bytes)])
    }
    return table.rendered()
  }
}

extension Progress {
  /// Notes the integer tensors, which are always copied.
  func noteIntegers(in source: any ModelSource) {
    let names = source.tensors.filter(\.type.isInteger).map { "\($0.name) (\($0.type))" }
    guard !names.isEmpty else { return }
    let others = names.count > 3 ? " and \(names.count - 3) more" : ""
    note("note: integer tensors are copied unchanged: \(names.prefix(3).joined(separator: ", "))\(others)")
  }
}
