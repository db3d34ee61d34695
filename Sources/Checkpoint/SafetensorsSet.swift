import Files

/// All tensors of a checkpoint, by name.
struct SafetensorsSet: Sendable {
  /// The file that names the tensors, for messages: the only one, the index, or the directory.
  let path: String
  private(set) var notes: [CheckpointNote] = []
  private var tensors: [String: StoredTensor] = [:]

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
  /// A tensor that several files hold must be the same in each.
  private mutating func add(_ name: String, in directory: String, _ index: WeightIndex? = nil) throws {
    let file = try Safetensors(path: directory + "/" + name)
    for tensor in file.tensors {
      if let other = tensors[tensor.name] {
        guard try tensor.hasContent(of: other) else {
          throw FormatError(
            path: tensor.file.path, subject: "tensor \(tensor.name)",
            "is another one in \(other.file.path.split(separator: "/").last ?? "")",
            hint: "the shards are of different versions: download them again")
        }
        // Its file is the one that the index names.
        if index?.places[tensor.name] != name { continue }
      }
      tensors[tensor.name] = tensor
    }
    // `save_model` of the package stores tensors that share memory once, and notes the names of the others.
    for (alias, kept) in file.metadata where tensors[alias] == nil {
      tensors[alias] = file.tensors.first { $0.name == kept }
    }
  }

  /// Compares the index with what its files hold.
  private mutating func check(_ index: WeightIndex) throws {
    let unlisted = names.filter { index.places[$0] == nil }
    let lost = index.places.filter { tensors[$0.key] == nil }.keys.sorted()
    if index.shards.count == 1, let first = lost.first ?? unlisted.first {
      // The file itself says what it holds.
      notes.append(.indexDisagrees(tensor: first, file: index.shards[0]))
      return
    }
    for (name, shard) in index.places.sorted(by: { $0.key < $1.key }) {
      let holder = tensors[name]?.file.path.split(separator: "/").last.map(String.init)
      guard holder != shard else { continue }
      throw FormatError(
        path: index.path, subject: "tensor \(name)",
        "is said to be in \(shard), which does not hold it" + (holder.map { "; \($0) does" } ?? ""),
        hint: "the download is incomplete, or index and shards are of different versions; naming a shard as the model"
          + " reads all of its numbering without the index")
    }
    if let first = unlisted.first { notes.append(.unlistedTensors(count: unlisted.count, first: first)) }
  }

  subscript(name: String) -> StoredTensor? { tensors[name] }
  var names: [String] { tensors.keys.sorted() }

  mutating func remove(_ name: String) { tensors.removeValue(forKey: name) }

  /// Gives the tensor `name` another name, which replaces a tensor of that name.
  mutating func rename(_ name: String, to other: String) { tensors[other] = tensors.removeValue(forKey: name) }

  /// Gives every FP8 tensor its scales: `NAME_scale_inv` (DeepSeek) or `NAME_scale` (compressed-tensors).
  ///
  /// Afterwards scales are no tensors of their own.
  mutating func attachScales(_ quantization: QuantizationConfig) throws {
    var attached = Set<String>()
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
        path: tensor.file.path, subject: "tensor \(name)", "has no scale, and config.json says that it is quantized",
        hint: "the download is incomplete")
    }
  }
}
