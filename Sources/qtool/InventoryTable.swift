import GGUF
import Inspection
import Tensors

/// Tables of a model's tensors.
enum InventoryTable {
  /// Tensors that differ only in their layer share a row; the bar shows a class's share of the bytes.
  static func classes(_ inventory: Inventory) -> String {
    var table = Table([
      ("class", .left), ("tensors", .right), ("shape", .left), ("types", .left), ("bytes", .right), ("share", .right),
      ("", .left),
    ])
    for entry in inventory.classes {
      let share = Double(entry.bytes) / Double(max(1, inventory.bytes))
      table.add([
        entry.name, "\(entry.tensors)", entry.shape.description + (entry.isUniform ? "" : " …"), types(entry.types),
        Figures.bytes(entry.bytes), Figures.percent(share, 1), bar(share),
      ])
    }
    return table.rendered()
  }

  /// `Q4_K 40, Q6_K 40`; only the type if all tensors have the same.
  private static func types(_ counts: [Inventory.TypeCount]) -> String {
    guard counts.count > 1 else { return counts.first?.type.name ?? "" }
    let shown = counts.prefix(2).map { "\($0.type.name) \($0.tensors)" }.joined(separator: ", ")
    return counts.count > 2 ? shown + ", …" : shown
  }

  /// A bar of at most 16 characters, in steps of an eighth of a character.
  static func bar(_ share: Double, width: Int = 16) -> String {
    let eighths = Int((share * Double(width * 8)).rounded())
    guard eighths > 0 else { return share > 0 ? "▏" : "" }
    let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8]
    return String(repeating: "█", count: eighths / 8) + part
  }

  static func types(_ inventory: Inventory) -> String {
    var table = Table([
      ("type", .left), ("tensors", .right), ("weights", .right), ("bytes", .right), ("share", .right), ("bpw", .right),
    ])
    for count in inventory.types {
      table.add([
        count.type.name, "\(count.tensors)", Figures.grouped(count.weights), Figures.grouped(count.bytes),
        Figures.percent(Double(count.bytes) / Double(max(1, inventory.bytes)), 1),
        Figures.fixed(count.type.bitsPerWeight, 4),
      ])
    }
    return table.rendered()
  }

  static func tensors(_ tensors: [TensorInfo]) -> String {
    var table = Table([
      ("tensor", .left), ("shape", .left), ("type", .left), ("bytes", .right), ("bpw", .right),
    ])
    for tensor in tensors {
      table.add([
        tensor.name, tensor.shape.description, tensor.type.name,
        Figures.grouped(tensor.shape.bytes(as: tensor.type) ?? 0), Figures.fixed(tensor.type.bitsPerWeight, 4),
      ])
    }
    return table.rendered()
  }
}
