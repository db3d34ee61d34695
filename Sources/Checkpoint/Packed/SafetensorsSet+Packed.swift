import Files

// Forms of packed weights are recognised by the names and types of their tensors, so that a checkpoint may mix them.

extension SafetensorsSet {
  /// Replaces tensors of packed weights that can be read by the weights: `NAME.weight`, or, for gpt-oss, `NAME_blocks`.
  ///
  /// - Throws: `FormatError` for tensors of a known form that do not fit each other.
  mutating func unpack(_ quantization: QuantizationConfig) throws {
    for name in names {
      guard let tensor = self[name] else { continue }
      if tensor.element == .u8, let base = name.without("_blocks") {
        let rows = try MicroscaledRows(tensor, scales: try take(base + "_scales", for: name))
        replace(name, with: tensor.unpacked(rows, name: name, shape: rows.shape))
      } else if tensor.element == .u8, let base = name.without("_scales"), self[base + "_blocks"] == nil {
        throw missing(base + "_blocks", for: name)
      } else if let base = name.without(".weight_packed") {
        try unpackCompressed(tensor, base + ".weight", quantization)
      } else if tensor.element == .u8, let base = name.without(".weight"), self[name + "_scale_2"] != nil {
        try unpackModelOpt(tensor, base + ".weight")
      } else if tensor.element == .i8, name.without(".weight") != nil, self[name + "_scale"] != nil {
        try unpackBytes(tensor, name)
      } else if let base = name.without(".qweight"), quantization.method == "gptq" {
        try unpackGPTQ(tensor, base, quantization)
      }
    }
  }

  /// NVFP4, MXFP4 or integers of compressed-tensors.
  private mutating func unpackCompressed(
    _ tensor: StoredTensor, _ weight: String, _ quantization: QuantizationConfig
  ) throws {
    let name = tensor.name
    let scales = try take(weight + "_scale", for: name)
    if tensor.element == .u8, scales.element == .f8_e4m3 {
      let global = try take(weight + "_global_scale", for: name)
      let rows = try NarrowFloatRows(tensor, scales: scales, global: global, divides: true)
      rename(name, to: weight, as: tensor.unpacked(rows, name: weight, shape: rows.shape))
    } else if tensor.element == .u8 {
      let rows = try MicroscaledRows(tensor, scales: scales)
      rename(name, to: weight, as: tensor.unpacked(rows, name: weight, shape: rows.shape))
    } else if tensor.element == .i32, tensor.shape.count == 2 {
      let stored = try take(weight + "_shape", for: name)
      guard [.i32, .i64].contains(stored.element), stored.count == 2 else {
        throw failure(stored, "has shape \(stored.shape) of \(stored.element.rawValue), and not two integers")
      }
      let shape = try stored.integers()
      guard shape.allSatisfy({ $0 > 0 && $0 < 1 << 31 }), let bits = quantization.bits(of: tensor, columns: shape[1])
      else {
        throw failure(tensor, "has shape \(tensor.shape), which no number of bits gives weights of shape \(shape)")
      }
      let rows = try IntegerRows(
        tensor, shape: shape, bits: bits, scales: scales, zeros: takeOptional(weight + "_zero_point"),
        order: takeOptional(weight + "_g_idx"))
      rename(name, to: weight, as: tensor.unpacked(rows, name: weight, shape: shape))
    }
  }

  private mutating func unpackModelOpt(_ tensor: StoredTensor, _ weight: String) throws {
    let rows = try NarrowFloatRows(
      tensor, scales: try take(weight + "_scale", for: weight), global: try take(weight + "_scale_2", for: weight),
      divides: false)
    replace(weight, with: tensor.unpacked(rows, name: weight, shape: rows.shape))
  }

  /// One integer per byte, with a scale for each row or group.
  private mutating func unpackBytes(_ tensor: StoredTensor, _ weight: String) throws {
    guard tensor.shape.count == 2 else { return }
    let rows = try IntegerRows(
      tensor, shape: tensor.shape, bits: 8, scales: try take(weight + "_scale", for: weight),
      zeros: takeOptional(weight + "_zero_point"), order: nil)
    replace(weight, with: tensor.unpacked(rows, name: weight, shape: tensor.shape))
  }

  private mutating func unpackGPTQ(_ tensor: StoredTensor, _ base: String, _ quantization: QuantizationConfig) throws {
    guard let bits = quantization.bits, [2, 4, 8].contains(bits) else { return }
    let rows = try TransposedIntegerRows(
      tensor, bits: bits, scales: try take(base + ".scales", for: tensor.name),
      zeros: try take(base + ".qzeros", for: tensor.name), order: takeOptional(base + ".g_idx"),
      zeroOffset: quantization.checkpointFormat == "gptq_v2" ? 0 : 1)
    let weight = base + ".weight"
    rename(tensor.name, to: weight, as: tensor.unpacked(rows, name: weight, shape: rows.shape))
  }

  // MARK: tensors

  private mutating func rename(_ name: String, to weight: String, as tensor: StoredTensor) {
    remove(name)
    replace(weight, with: tensor)
  }

  /// Removes a tensor that packed weights need.
  private mutating func take(_ name: String, for packed: String) throws -> StoredTensor {
    guard let tensor = takeOptional(name) else { throw missing(name, for: packed) }
    return tensor
  }

  private mutating func takeOptional(_ name: String) -> StoredTensor? {
    defer { remove(name) }
    return self[name]
  }

  private func missing(_ name: String, for packed: String) -> FormatError {
    FormatError(
      path: self[packed]?.file.path ?? path, subject: "tensor \(name)", "is missing, and \(packed) needs it",
      hint: "the download is incomplete")
  }

  private func failure(_ tensor: StoredTensor, _ reason: String) -> FormatError {
    FormatError(path: tensor.file.path, subject: "tensor \(tensor.name)", reason)
  }
}

extension StoredTensor {
  /// The weights that this tensor holds in packed form.
  fileprivate func unpacked(_ rows: any PackedRows, name: String, shape: [Int]) -> StoredTensor {
    StoredTensor(
      name: name, element: element, shape: shape, file: file, offset: offset, byteCount: byteCount, packed: rows)
  }
}

extension String {
  /// The beginning, if the rest is `suffix`.
  fileprivate func without(_ suffix: String) -> String? {
    hasSuffix(suffix) ? String(dropLast(suffix.count)) : nil
  }
}
