import Files
import GGUF
import Tensors

// Files of hidden states, from which an interrupted pass resumes: a GGUF with one F32 tensor [width, tokens], and keys
// that identify the model and the text.

extension ForwardPass {
  private static let kind = "hidden-states"
  private static let finalKind = "final-states"

  /// Writes hidden states.
  ///
  /// - Returns: the SHA-256 of their elements, in hexadecimal.
  func write(_ states: HiddenStates, of windows: [[Int32]], to path: String) throws -> String {
    let activations = states.activations
    let layout = activations.layout
    let tensor = TensorInfo(
      name: "states", shape: Shape([activations.columns, layout.tokens])!, type: .f32)
    let metadata: Metadata = [
      "general.type": .string(Self.kind), "states.layer": .uint32(UInt32(states.layer)),
      "states.model": .uint64(modelHash), "states.text": .uint64(Self.hash(windows)),
    ]
    let writer = try GGUFWriter(
      path: path, layout: GGUFLayout(metadata: metadata, tensors: [tensor]), overwrite: true)
    let digest = try activations.write(to: writer)
    try writer.commit()
    return digest
  }

  /// The hidden states in a file; nil where they belong to another model or text, or have another SHA-256.
  ///
  /// - Parameters:
  ///   - scored, observer: those of the run that continues.
  ///   - sha256: the result of writing the states.
  func states(
    from path: String, of windows: [[Int32]], scored: Range<Int>, observer: (any ForwardObserver)?, sha256: String
  ) throws -> HiddenStates? {
    let file = try GGUFFile(path: path)
    guard file.metadata.optionalString("general.type") == Self.kind,
      file.metadata["states.model"] == .uint64(modelHash), file.metadata["states.text"] == .uint64(Self.hash(windows)),
      let layer = file.metadata.optionalInt("states.layer"), (0...decoder.layerCount).contains(layer),
      let tensor = file.tensor(named: "states"), let length = windows.first?.count, tensor.type == .f32,
      tensor.shape.dimensions == [decoder.width, windows.count * length]
    else { return nil }
    let plan = try plan(windows: windows.count, length: length, scored: scored.count, observer: observer)
    var activations = try emptyStates(windows: windows.count, length: length, plan)
    let digest = try activations.read(tensor, of: file)
    guard sha256 == digest else { return nil }
    return HiddenStates(layer: layer, activations: activations, plan: plan)
  }

  /// Writes the final states of a run.
  ///
  /// - Returns: the SHA-256 of their elements, in hexadecimal.
  func write(_ states: FinalStates, to path: String) throws -> String {
    let tensor = TensorInfo(name: "states", shape: Shape([decoder.width, states.rowCount])!, type: .f32)
    let metadata: Metadata = ["general.type": .string(Self.finalKind)]
    let writer = try GGUFWriter(
      path: path, layout: GGUFLayout(metadata: metadata, tensors: [tensor]), overwrite: true)
    let digest = try states.states.write(to: writer)
    try writer.commit()
    return digest
  }

  /// The final states in a file; nil where they have another shape or SHA-256.
  func finalStates(
    from path: String, of windows: [[Int32]], scored: Range<Int>, sha256: String
  ) throws -> FinalStates? {
    let file = try GGUFFile(path: path)
    guard file.metadata.optionalString("general.type") == Self.finalKind, let length = windows.first?.count,
      let tensor = file.tensor(named: "states"), tensor.type == .f32,
      tensor.shape.dimensions == [decoder.width, windows.count * scored.count]
    else { return nil }
    let plan = try plan(windows: windows.count, length: length, scored: scored.count)
    let layout = WindowLayout(
      windows: windows.count, length: length, firstPosition: 0, windowsPerSlab: plan.windowsPerSlab)
    var states = Activations(
      layout.keeping(scored), columns: decoder.width,
      storage: ActivationStorage(
        account: MemoryAccount(limit: plan.finalLimit),
        scratch: plan.needsScratch ? try ScratchFile(directory: options.scratchDirectory) : nil))
    guard try states.read(tensor, of: file) == sha256 else { return nil }
    return FinalStates(states, decoder: decoder, source: source, engine: engine, scored: scored)
  }

  /// A hash of the names, shapes and types of all tensors.
  private var modelHash: UInt64 {
    var hash = FNVHash()
    for tensor in source.tensors {
      hash.add(tensor.name.utf8)
      hash.add("\(tensor.shape) \(tensor.type)".utf8)
    }
    return hash.value
  }

  private static func hash(_ windows: [[Int32]]) -> UInt64 {
    var hash = FNVHash()
    for window in windows {
      for token in window { hash.add(UInt64(UInt32(bitPattern: token))) }
      hash.add(UInt64.max)
    }
    return hash.value
  }

  /// FNV-1a over 64-bit words.
  private struct FNVHash {
    private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func add(_ word: UInt64) { value = (value ^ word) &* 0x0000_0100_0000_01B3 }

    mutating func add(_ text: String.UTF8View) { for byte in text { add(UInt64(byte)) } }
  }
}

extension Activations {
  /// Writes all rows as the only tensor of a file, and returns their SHA-256.
  fileprivate func write(to writer: GGUFWriter) throws -> String {
    var digest = DataDigest()
    var row = 0
    for slab in 0..<layout.slabs {
      let rows = try read(slab)
      try rows.floats.withSpan {
        digest.update($0.bytes)
        try writer.write($0.bytes, tensor: 0, row: row)
      }
      row += layout.tokens(inSlab: slab)
    }
    return digest.hex()
  }

  /// Fills all rows from a tensor of a file, and returns their SHA-256.
  fileprivate mutating func read(_ tensor: TensorInfo, of file: GGUFFile) throws -> String {
    var digest = DataDigest()
    var row = 0
    for slab in 0..<layout.slabs {
      let count = layout.tokens(inSlab: slab)
      try update(slab) { rows in
        try rows.withMutableSpan {
          var bytes = $0.mutableBytes
          try file.readBytes(of: tensor, rows: row..<row + count, into: &bytes)
        }
        rows.withSpan { digest.update($0.bytes) }
      }
      row += count
    }
    return digest.hex()
  }
}
