import Blocks
import Files
import GGUF
import Synchronization
import Tensors

/// A model that replaces weights that are NaN or infinite by zero, and counts them.
///
/// Only float tensors are changed, not quantized ones.
public final class FiniteModel: ModelSource {
  public let base: any ModelSource
  /// The number of replaced weights by tensor and row, so that a row that is read twice counts once.
  private let counts = Mutex<[String: [Int: Int]]>([:])

  /// Wraps a model.
  public init(_ base: any ModelSource) { self.base = base }

  public var name: String { base.name }
  public var metadata: Metadata { base.metadata }
  public var tensors: [TensorInfo] { base.tensors }
  public func tensor(named name: String) -> TensorInfo? { base.tensor(named: name) }
  public func path(of tensor: TensorInfo) -> String? { base.path(of: tensor) }

  /// The number of replaced weights by tensor, in the rows read so far.
  public var replaced: [String: Int] {
    counts.withLock { $0.mapValues { $0.values.reduce(0, +) } }
  }

  public func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    try base.readRows(of: tensor, rows: rows, into: &output)
    guard !tensor.type.isQuantized else { return }
    let columns = tensor.shape.columns
    for row in rows {
      var replaced = 0
      for index in (row - rows.lowerBound) * columns..<(row - rows.lowerBound + 1) * columns
      where !output[index].isFinite {
        output[index] = 0
        replaced += 1
      }
      if replaced > 0 { counts.withLock { $0[tensor.name, default: [:]][row] = replaced } }
    }
  }

  public func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    do {
      try base.readBytes(of: tensor, rows: rows, into: &output)
    } catch let error where !tensor.type.isQuantized && !(error is FileError) {
      // Converted bytes (such as those of 8-bit floats) are available only for finite weights.
      let floats = try self.rows(rows, of: tensor)
      try encodeRows(floats.span, columns: tensor.shape.columns, importance: nil, as: tensor.type, into: &output)
      return
    }
    // NaN and infinity have all bits of the exponent set.
    switch tensor.type {
    case .f32: replace(UInt32.self, mask: 0x7F80_0000, tensor, rows, &output)
    case .f16: replace(UInt16.self, mask: 0x7C00, tensor, rows, &output)
    case .bf16: replace(UInt16.self, mask: 0x7F80, tensor, rows, &output)
    case .f64: replace(UInt64.self, mask: 0x7FF0_0000_0000_0000, tensor, rows, &output)
    default: break
    }
  }

  private func replace<Word: FixedWidthInteger & BitwiseCopyable>(
    _: Word.Type, mask: Word, _ tensor: TensorInfo, _ rows: Range<Int>, _ output: inout MutableRawSpan
  ) {
    let columns = tensor.shape.columns
    let width = MemoryLayout<Word>.size
    output.withUnsafeMutableBytes { bytes in
      for row in rows {
        var replaced = 0
        for index in (row - rows.lowerBound) * columns..<(row - rows.lowerBound + 1) * columns {
          let word = bytes.loadUnaligned(fromByteOffset: index * width, as: Word.self)
          guard Word(littleEndian: word) & mask == mask else { continue }
          bytes.storeBytes(of: 0, toByteOffset: index * width, as: Word.self)
          replaced += 1
        }
        if replaced > 0 { counts.withLock { $0[tensor.name, default: [:]][row] = replaced } }
      }
    }
  }
}
