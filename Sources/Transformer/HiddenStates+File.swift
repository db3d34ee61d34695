import Files
import GGUF
import Tensors

// Files of hidden states, from which an interrupted pass resumes: a GGUF with one F32 tensor [width, tokens], one for
// the keys and one for the values of each layer that later layers use, and keys that identify the model and the text.

extension ForwardPass {
  private static let kind = "hidden-states"
  private static let finalKind = "final-states"

  /// Writes hidden states.
  ///
  /// - Returns: the SHA-256 of their elements, in hexadecimal.
  func write(_ states: HiddenStates, of windows: [[Int32]], to path: String) throws -> String {
    // The inputs that are embedded from tokens are computed again.
    let matrices =
      [("states", states.activations)]
      + states.carried.compactMap { key, matrix in key.tensorName.map { ($0, matrix) } }.sorted { $0.0 < $1.0 }
    let tensors = matrices.map { name, matrix in
      TensorInfo(name: name, shape: Shape([matrix.columns, matrix.layout.tokens])!, type: .f32)
    }
    let metadata: Metadata = [
      "general.type": .string(Self.kind), "states.layer": .uint32(UInt32(states.layer)),
      "states.model": .uint64(modelHash), "states.text": .uint64(Self.hash(windows)),
    ]
    let writer = try GGUFWriter(
      path: path, layout: GGUFLayout(metadata: metadata, tensors: tensors), overwrite: true)
    var digest = DataDigest()
    for (index, matrix) in matrices.enumerated() {
      try matrix.1.write(to: writer, tensor: index, &digest)
    }
    try writer.commit()
    return digest.hex()
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
    var states =
      decoder.layerInputs == nil
      ? HiddenStates(
        layer: 0, activations: try emptyStates(windows: windows.count, length: length, plan), plan: plan)
      : try embed(windows, plan)
    states.layer = layer
    states.carried = states.carried.filter { $0.key.isNeeded(from: layer) }
    var digest = DataDigest()
    try states.activations.read(tensor, of: file, &digest)
    for (key, columns) in decoder.keptKeys(before: layer) {
      guard let name = key.tensorName, let tensor = file.tensor(named: name), tensor.type == .f32,
        tensor.shape.dimensions == [columns, windows.count * length]
      else { return nil }
      var matrix = Activations(
        states.activations.layout, columns: columns, storage: states.activations.storage)
      try matrix.read(tensor, of: file, &digest)
      states.carried[key] = matrix
    }
    guard sha256 == digest.hex() else { return nil }
    return states
  }

  /// Writes the final states of a run.
  ///
  /// - Returns: the SHA-256 of their elements, in hexadecimal.
  func write(_ states: FinalStates, to path: String) throws -> String {
    let tensor = TensorInfo(name: "states", shape: Shape([decoder.width, states.rowCount])!, type: .f32)
    let metadata: Metadata = ["general.type": .string(Self.finalKind)]
    let writer = try GGUFWriter(
      path: path, layout: GGUFLayout(metadata: metadata, tensors: [tensor]), overwrite: true)
    var digest = DataDigest()
    try states.states.write(to: writer, tensor: 0, &digest)
    try writer.commit()
    return digest.hex()
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
    var digest = DataDigest()
    try states.read(tensor, of: file, &digest)
    guard digest.hex() == sha256 else { return nil }
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
  /// Writes all rows as a tensor of a file, and adds them to a digest.
  fileprivate func write(to writer: GGUFWriter, tensor: Int, _ digest: inout DataDigest) throws {
    var row = 0
    for slab in 0..<layout.slabs {
      let rows = try read(slab)
      try rows.floats.withSpan {
        digest.update($0.bytes)
        try writer.write($0.bytes, tensor: tensor, row: row)
      }
      row += layout.tokens(inSlab: slab)
    }
  }

  /// Fills all rows from a tensor of a file, and adds them to a digest.
  fileprivate mutating func read(_ tensor: TensorInfo, of file: GGUFFile, _ digest: inout DataDigest) throws {
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
  }
}

extension CarriedStates {
  /// The name of the tensor in a file of hidden states; nil for states that are not written.
  fileprivate var tensorName: String? {
    switch self {
    case .keys(let layer): "keys.\(layer)"
    case .values(let layer): "values.\(layer)"
    case .input: nil
    }
  }

  /// False for the inputs of layers before `layer`.
  fileprivate func isNeeded(from layer: Int) -> Bool {
    if case .input(let index) = self { index >= layer } else { true }
  }
}

extension Decoder {
  /// The keys and values that layers before `layer` keep, in the order of their names, with their columns.
  fileprivate func keptKeys(before layer: Int) -> [(key: CarriedStates, columns: Int)] {
    layers[..<layer].enumerated().flatMap { index, layer in
      layer.parts.flatMap { $0.keptColumns(layer: index) }
    }.sorted { ($0.key.tensorName ?? "") < ($1.key.tensorName ?? "") }
  }
}
