import Blocks
import Tensors

/// Rows after encoding and decoding.
public func roundTrip(
  _ rows: [Float], columns: Int, importance: [Float]? = nil, as type: GGMLType
) throws -> [Float] {
  // Not zero, so that bytes which an encoder does not write are detected.
  var bytes = [UInt8](repeating: 0xAA, count: (type.rowBytes(columns: columns) ?? 0) * (rows.count / columns))
  var span = bytes.mutableSpan
  var raw = span.mutableBytes
  if let importance {
    try encodeRows(rows.span, columns: columns, importance: importance.span, as: type, into: &raw)
  } else {
    try encodeRows(rows.span, columns: columns, importance: nil, as: type, into: &raw)
  }
  var decoded = [Float](repeating: .nan, count: rows.count)
  var output = decoded.mutableSpan
  decodeRows(bytes.span.bytes, as: type, into: &output)
  return decoded
}
