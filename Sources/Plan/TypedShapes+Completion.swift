import GGUF
import Quantize
import Tensors

extension TypedShapes {
  /// Completes the tensors of a model of which only some shards' headers are present.
  ///
  /// Layers of a kind (dense, or with experts) have the same shapes, and a header states the total number of tensors.
  /// Missing or incomplete layers get the tensors of the most complete layer of their kind; the result must have the
  /// number of tensors that the first shard states.
  ///
  /// - Throws: ``PlanError`` if the present shards do not contain every kind of layer.
  init(completing file: GGUFFile, promised: Int) throws(PlanError) {
    let dimensions = try ModelDimensions(of: file)
    let metadata = file.metadata
    let dense = metadata.optionalInt("\(dimensions.architecture).leading_dense_block_count") ?? 0
    func kind(_ layer: Int) -> Bool { dimensions.experts > 0 && layer >= dense }
    var byLayer: [Int: [TensorInfo]] = [:]
    for tensor in file.tensors {
      if let layer = tensor.layer { byLayer[layer, default: []].append(tensor) }
    }
    var templates: [Bool: [TensorInfo]] = [:]
    for (layer, tensors) in byLayer.sorted(by: { $0.key < $1.key })
    where tensors.count > templates[kind(layer)]?.count ?? 0 { templates[kind(layer)] = tensors }

    var tensors = file.tensors
    var names = Set(tensors.map(\.name))
    func add(_ tensor: TensorInfo) {
      if names.insert(tensor.name).inserted { tensors.append(tensor) }
    }
    for layer in 0..<dimensions.layers {
      for model in templates[kind(layer)] ?? [] {
        add(TensorInfo(name: TensorName(model.name).inLayer(layer), shape: model.shape, type: model.type))
      }
    }
    if let norm = Shape([dimensions.width]) { add(TensorInfo(name: "output_norm.weight", shape: norm, type: .f32)) }
    if tensors.count + 1 == promised, let embedding = tensors.first(where: { $0.name == "token_embd.weight" }) {
      add(TensorInfo(name: "output.weight", shape: embedding.shape, type: embedding.type))
    }
    guard tensors.count == promised else {
      throw PlanError(
        .missing,
        "\(file.name): \(file.missingShards) of its shards are missing, and the others give the shapes of "
          + "\(tensors.count) of \(promised) tensors",
        hint: "put the first bytes of the other shards beside it under their names; a plan reads their headers only")
    }
    self.init(name: file.name, metadata: metadata, tensors: tensors)
  }
}
