import Checkpoint
import Files
import Tensors

/// config.json's `quantization`: a format for all modules, and exceptions by module.
struct MLXEntries {
  private let root: JSONValue
  private let path: String

  init(_ root: JSONValue, path: String) {
    self.root = root
    self.path = path
  }

  /// Whether a module is MXFP4, and its tensors have the shapes of that.
  func isMicroscaled(
    _ module: String, _ codes: StoredTensor, _ scales: StoredTensor, _ shape: [Int]
  ) throws -> Bool {
    let entry = root[module]?.object != nil ? root[module] : root
    guard entry?["mode"]?.string == "mxfp4" else { return false }
    let columns = shape.last ?? 0
    let leading = Array(shape.dropLast())
    guard columns % 32 == 0, codes.element == .u32, scales.element == .u8, codes.shape == leading + [columns / 8],
      scales.shape == leading + [columns / 32]
    else {
      throw FormatError(
        path: codes.file.path, subject: "tensor \(codes.name)",
        "has shape \(codes.shape) and scales of \(scales.shape), which are not those of MXFP4 with rows of \(columns)")
    }
    return true
  }

  /// The format of a module, which config.json and the shapes of its tensors must agree on.
  func format(
    of module: String, _ codes: StoredTensor, _ scales: StoredTensor, biases: StoredTensor?, _ shape: [Int]
  ) throws -> AffineFormat {
    func failure(_ reason: String, hint: String? = nil) -> FormatError {
      FormatError(path: codes.file.path, subject: "tensor \(codes.name)", reason, hint: hint)
    }
    let entry = root[module]?.object != nil ? root[module] : root
    let mode = entry?["mode"]?.string ?? "affine"
    guard mode == "affine", let biases else {
      throw failure(
        "is quantized in mode \(mode == "affine" ? "without biases" : mode), which is not supported",
        hint: "known: affine with 2, 3, 4, 5, 6 or 8 bits, and mxfp4")
    }
    let leading = Array(shape.dropLast())
    let columns = shape.last ?? 0
    guard let words = codes.shape.last, let groups = scales.shape.last, groups > 0, columns % groups == 0,
      codes.element == .u32, Array(codes.shape.dropLast()) == leading, Array(scales.shape.dropLast()) == leading,
      biases.shape == scales.shape, biases.element == scales.element, words * 32 % columns == 0
    else {
      throw failure(
        "has shape \(codes.shape) and scales of \(scales.shape); config.json implies rows of \(columns)")
    }
    let (bits, group) = (words * 32 / columns, columns / groups)
    let kind: AffineFormat.Scales
    switch scales.element {
    case .f16: kind = .f16
    case .bf16: kind = .bf16
    default:
      throw failure("has scales of type \(scales.element.rawValue)", hint: "known: F16 and BF16")
    }
    guard let format = AffineFormat(bits: bits, group: group, scales: kind) else {
      throw failure(
        "has \(bits) bits in groups of \(group)", hint: "known: 2, 3, 4, 5, 6 and 8 bits in groups of 32, 64 and 128")
    }
    // Newer versions of mlx_lm go by the shapes where an entry is missing.
    guard entry?["bits"]?.int ?? bits == bits, entry?["group_size"]?.int ?? group == group else {
      throw FormatError(
        path: path, subject: "key quantization",
        "gives \(module) \(entry?["bits"]?.int ?? 0) bits in groups of \(entry?["group_size"]?.int ?? 0); its shapes "
          + "are those of \(bits) bits in groups of \(group)")
    }
    return format
  }
}
