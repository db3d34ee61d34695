import Files
import GGUF
import Quantize
import Tensors

/// The form of MLX directories: affine groups, or floats of 16 bits.
struct MLXForm: OutputForm {
  let source: MLXSource

  var menu: [GGMLType] { AffineFormat.all(source.scales).map(\.type) }

  var baselines: [(name: String, types: [GGMLType])] { MLXMix.baselines(of: source) }

  func bytes(of tensor: TensorInfo, as type: GGMLType) -> Int? {
    if MLXNames.isOmitted(tensor.name) { return 0 }
    // Groups must not cross heads that change places.
    if type.affine != nil, MLXColumnOrder(tensor, of: source)?.admits(type) == false { return nil }
    guard type == tensor.type || type.affine?.scales == source.scales else { return nil }
    return tensor.shape.bytes(as: type)
  }

  func container(_ types: [GGMLType], _ header: OutputHeader) throws -> any OutputContainer {
    for (tensor, type) in zip(source.tensors, types) where bytes(of: tensor, as: type) == nil {
      if let order = MLXColumnOrder(tensor, of: source), type.affine != nil {
        throw QuantizeError.unsupported(
          "tensor \(tensor.name): MLX has heads of \(order.size) columns in another order, which groups of \(type) cross"
        )
      }
      throw QuantizeError.unsupported(
        "tensor \(tensor.name): MLX has no \(type), only 2, 3, 4, 5, 6 and 8 bits (4bit/64) and \(source.scales.type)")
    }
    return MLXContainer(source, types: types, header: header)
  }
}

/// The files of an MLX directory, with all sizes and all texts.
struct MLXContainer: OutputContainer {
  let source: MLXSource
  let types: [GGMLType]
  let layout: MLXLayout
  /// Files that are written beside the weights, in the order of their names.
  let texts: [(name: String, text: String)]

  init(_ source: MLXSource, types: [GGMLType], header: OutputHeader) {
    self.source = source
    self.types = types
    let layout = MLXLayout(source, types: types)
    self.layout = layout
    var formats: [GGMLType: Int] = [:]
    for (tensor, type) in zip(source.tensors, types) where !MLXNames.isOmitted(tensor.name) {
      formats[type, default: 0] += tensor.shape.count
    }
    let table = formats.sorted { ($1.value, $0.key.rawValue) < ($0.value, $1.key.rawValue) }
      .map { (name: $0.key.menuName, weights: $0.value) }
    let config = source.folder.configuration(
      layout, floats: source.scales == .f16 ? "float16" : "bfloat16",
      isTied: source.tensor(named: "output.weight") == nil, source.arguments,
      provenance: header.provenance(source.folder.version))
    let card = source.folder.card(bytes: layout.dataBytes, parameters: layout.parameters, formats: table)
    texts = [("README.md", card), ("config.json", config), ("model.safetensors.index.json", layout.index)]
  }

  var totalBytes: Int {
    layout.files.reduce(0) { $0 + $1.totalBytes } + texts.reduce(0) { $0 + $1.text.utf8.count }
      + source.folder.companions.reduce(0) { $0 + $1.bytes }
  }

  var headerBytes: Int { totalBytes - layout.dataBytes }

  var digest: String {
    var digest = DataDigest()
    for file in layout.files { digest.update(file.header.span.bytes) }
    for (name, text) in texts { digest.update(Array((name + text).utf8).span.bytes) }
    for (name, bytes) in source.folder.companions { digest.update(Array("\(name) \(bytes)".utf8).span.bytes) }
    return digest.hex()
  }

  func check(_ path: String, overwrite: Bool) throws { try MLXDirectory.check(path, overwrite: overwrite) }

  func isBegun(_ path: String) -> Bool {
    layout.files.allSatisfy { OutputFile.isBegun(MLXDirectory.temporary(path) + "/" + $0.name) }
  }

  func writer(path: String, overwrite: Bool, resuming: Bool) throws -> any TensorWriter {
    try MLXWriter(path: path, container: self, overwrite: overwrite, resuming: resuming)
  }
}

extension OutputHeader {
  /// The origin of types and blocks, under the keys of a GGUF. Values have a constant length where they are not known yet.
  fileprivate func provenance(_ version: String) -> [(key: String, value: String)] {
    var fields = [("version", version), ("source.fingerprint", fingerprint)]
    if let evidence { fields.append(("evidence", evidence)) }
    if let importance {
      fields += [("imatrix.file", importance.file), ("imatrix.dataset", importance.dataset)]
    }
    if let feedback {
      fields += [
        ("feedback.dataset", feedback.dataset), ("feedback.effort", "\(feedback.effort)"),
        ("feedback.fingerprint", feedback.fingerprint),
      ]
      if feedback.sections > 1 { fields.append(("feedback.sections", "\(feedback.sections)")) }
    }
    return fields.map { (key: $0.0, value: $0.1) }
  }
}
