import Files

/// All tensors of a checkpoint, by name.
struct SafetensorsSet: Sendable {
  /// The only file, the index, or the directory, for messages about missing tensors.
  let path: String
  private(set) var notes: [CheckpointNote] = []
  private var tensors: [String: StoredTensor] = [:]
  /// Whether the files name the tensors as Mistral does.
  var isMistralForm = false

  init(directory: String, _ files: WeightFiles) throws {
    switch files {
    case .file(let name):
      path = directory + "/" + name
      try add(name, in: directory)
    case .shards(let set):
      path = directory
      for name in set.files { try add(name, in: directory) }
    case .index(let index):
      path = index.path
      for name in index.shards { try add(name, in: directory, index) }
      try check(index)
    }
  }

  /// Reads one file's header.
  ///
  /// A tensor that is in several files must be equal in all of them.
  private mutating func add(_ name: String, in directory: String, _ index: WeightIndex? = nil) throws {
    let file = try Safetensors(path: directory + "/" + name)
    for tensor in file.tensors {
      if let other = tensors[tensor.name] {
        // Removed shards were compared before.
        guard try tensor.isRemoved || other.isRemoved || tensor.hasContent(of: other) else {
          throw FormatError(
            path: tensor.file.path, subject: "tensor \(tensor.name)",
            "differs from the tensor of this name in \(other.file.path.split(separator: "/").last ?? "")",
            hint: "the shards are of different versions: download them again")
        }
        // The index decides which file it belongs to.
        if index?.shardByTensor[tensor.name] != name { continue }
      }
      tensors[tensor.name] = tensor
    }
    // `save_model` stores tensors that share memory once, and lists the other names in the metadata.
    for (alias, kept) in file.metadata where tensors[alias] == nil {
      tensors[alias] = file.tensors.first { $0.name == kept }
    }
  }

  /// Compares the index with the tensors of its files.
  private mutating func check(_ index: WeightIndex) throws {
    let unlisted = names.filter { index.shardByTensor[$0] == nil }
    let absent = index.shardByTensor.filter { tensors[$0.key] == nil }.keys.sorted()
    if index.shards.count == 1, let first = absent.first ?? unlisted.first {
      // The file decides.
      notes.append(.indexDisagrees(tensor: first, file: index.shards[0]))
      return
    }
    for (name, shard) in index.shardByTensor.sorted(by: { $0.key < $1.key }) {
      let holder = tensors[name]?.file.path.split(separator: "/").last.map(String.init)
      guard holder != shard else { continue }
      throw FormatError(
        path: index.path, subject: "tensor \(name)",
        "should be in \(shard), which does not hold it" + (holder.map { "; \($0) does" } ?? ""),
        hint: "the download is incomplete, or index and shards are of different versions; naming a shard as the model"
          + " reads all shards of its set without the index")
    }
    if let first = unlisted.first { notes.append(.unlistedTensors(count: unlisted.count, first: first)) }
  }

  subscript(name: String) -> StoredTensor? { tensors[name] }

  /// The file that implies the tensors, for messages.
  var configuration: String { isMistralForm ? MistralForm.parameters : "config.json" }

  /// The name in the files of a tensor, for messages.
  func title(_ name: String) -> String { isMistralForm ? MistralForm.stored(name) : name }
  var names: [String] { tensors.keys.sorted() }

  mutating func remove(_ name: String) { tensors.removeValue(forKey: name) }

  mutating func replace(_ name: String, with tensor: StoredTensor) { tensors[name] = tensor }

  /// Renames a tensor, and replaces one that has the new name.
  mutating func rename(_ name: String, to other: String) { tensors[other] = tensors.removeValue(forKey: name) }

  /// Attaches their scales to FP8 tensors: `NAME_scale_inv` (DeepSeek), `NAME_scale` (compressed-tensors) or `qscale_weight`
  /// (Mistral).
  ///
  /// Removes the scales from the tensors.
  mutating func attachScales(_ quantization: QuantizationConfig) throws {
    var attached = Set<String>()
    for name in names where name.hasSuffix(".qscale_weight") {
      let weight = String(name.dropLast("qscale_weight".count)) + "weight"
      tensors[weight + "_scale"] = tensors.removeValue(forKey: name)
    }
    for suffix in ["_scale_inv", "_scale"] {
      for name in names where name.hasSuffix("weight" + suffix) || name.hasSuffix("proj" + suffix) {
        guard let scale = tensors[name] else { continue }
        let base = String(name.dropLast(suffix.count))
        guard let weight = tensors[base] else {
          throw FormatError(
            path: scale.file.path, subject: "tensor \(name)", "is a scale without its weight \(base)",
            hint: "the download is incomplete")
        }
        guard weight.element.isFloat8 else {
          throw FormatError(
            path: scale.file.path, subject: "tensor \(name)", "scales a weight of type \(weight.element.rawValue)",
            hint: "scales are known for F8_E4M3 and F8_E5M2")
        }
        tensors[base]?.scale = try ScaleGrid(scale, of: weight, block: quantization.block)
        attached.insert(name)
      }
    }
    for name in attached { tensors.removeValue(forKey: name) }
    guard quantization.hasScales else { return }
    for name in names {
      guard let tensor = tensors[name], tensor.element.isFloat8, tensor.scale == nil, tensor.count > 0 else { continue }
      throw FormatError(
        path: tensor.file.path, subject: "tensor \(name)", "has no scale, but config.json declares quantized weights",
        hint: "the download is incomplete")
    }
  }
}
