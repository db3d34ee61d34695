import GGUF
import Tensors

/// Hidden states as a file, so that a long pass can go on where it was interrupted: a GGUF with one F32 tensor
/// [width, tokens] and the keys that say what it belongs to.
extension ForwardPass {
  private static let kind = "hidden-states"

  /// Writes states with what they were made from.
  public func write(_ states: HiddenStates, of windows: [[Int32]], to path: String) throws {
    let activations = states.activations
    let layout = activations.layout
    let tensor = TensorInfo(
      name: "states", shape: Shape([activations.columns, layout.tokens])!, type: .f32)
    let metadata: Metadata = [
      "general.type": .string(Self.kind), "states.layer": .uint32(UInt32(states.layer)),
      "states.model": .uint64(modelMark), "states.text": .uint64(Self.mark(windows)),
    ]
    let writer = try GGUFWriter(
      path: path, layout: GGUFLayout(metadata: metadata, tensors: [tensor]), overwrite: true)
    var row = 0
    for slab in 0..<layout.slabs {
      let rows = try activations.read(slab)
      defer { extendLifetime(rows) }
      try rows.floats.withSpan { try writer.write($0.bytes, tensor: 0, row: row) }
      row += layout.tokens(inSlab: slab)
    }
    try writer.commit()
  }

  /// The states that a file holds, or nil where they belong to another model or text. `observer` is that of the run
  /// that goes on from them.
  public func states(
    from path: String, of windows: [[Int32]], observer: (any ForwardObserver)? = nil
  ) throws -> HiddenStates? {
    let file = try GGUFFile(path: path)
    guard file.metadata.optionalString("general.type") == Self.kind,
      file.metadata["states.model"] == .uint64(modelMark), file.metadata["states.text"] == .uint64(Self.mark(windows)),
      let layer = file.metadata.optionalInt("states.layer"), (0...decoder.layerCount).contains(layer),
      let tensor = file.tensor(named: "states"), let length = windows.first?.count, tensor.type == .f32,
      tensor.shape.dimensions == [decoder.width, windows.count * length]
    else { return nil }
    let plan = try plan(windows: windows.count, length: length, observer: observer)
    var activations = try emptyStates(windows: windows.count, length: length, plan)
    let layout = activations.layout
    var row = 0
    for slab in 0..<layout.slabs {
      let count = layout.tokens(inSlab: slab)
      try activations.update(slab) { rows in
        try rows.withMutableSpan {
          var bytes = $0.mutableBytes
          try file.readBytes(of: tensor, rows: row..<row + count, into: &bytes)
        }
      }
      row += count
    }
    return HiddenStates(layer: layer, activations: activations, plan: plan)
  }

  /// Tells models apart: names, shapes and types of all tensors.
  private var modelMark: UInt64 {
    var mark = Mark()
    for tensor in source.tensors {
      mark.add(tensor.name.utf8)
      mark.add("\(tensor.shape) \(tensor.type)".utf8)
    }
    return mark.value
  }

  private static func mark(_ windows: [[Int32]]) -> UInt64 {
    var mark = Mark()
    for window in windows {
      for token in window { mark.add(UInt64(UInt32(bitPattern: token))) }
      mark.add(UInt64.max)
    }
    return mark.value
  }

  /// FNV-1a over words.
  private struct Mark {
    private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func add(_ word: UInt64) { value = (value ^ word) &* 0x0000_0100_0000_01B3 }

    mutating func add(_ text: String.UTF8View) { for byte in text { add(UInt64(byte)) } }
  }
}
