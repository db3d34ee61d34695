import Blocks
import Files
import Foundation
import GGUF
import Tensors

/// A tensor of the model that is read from one or more stored tensors.
struct AssembledTensor: Sendable {
  let info: TensorInfo
  private let expected: ExpectedTensor
  private let parts: [StoredTensor]

  /// Finds the stored tensors, and checks their shapes and types against `expected`.
  init(_ expected: ExpectedTensor, from stored: SafetensorsSet) throws {
    self.expected = expected
    func find(_ name: String, _ shape: [Int]) throws -> StoredTensor {
      guard let tensor = stored[name] else {
        throw FormatError(
          path: stored.path, subject: "tensor \(stored.title(name))", "is missing",
          hint: "\(stored.configuration) implies it")
      }
      guard tensor.shape == shape else {
        throw FormatError(
          path: tensor.file.path, subject: "tensor \(stored.title(name))",
          "has shape \(tensor.shape); \(stored.configuration) implies \(shape)",
          hint: tensor.count == 0
            ? "the tensor is empty, as DeepSpeed saves those that it did not gather: save the model again" : nil)
      }
      guard tensor.holdsWeights else {
        throw FormatError(
          path: tensor.file.path, subject: "tensor \(stored.title(name))", "is of type \(tensor.element.rawValue)",
          hint: "known: \(SourceElement.weights.map(\.rawValue).joined(separator: ", "))")
      }
      return tensor
    }
    switch expected.parts {
    case .whole(let name, let shape), .slices(let name, let shape, _, _, _),
      .transposed(let name, let shape, _, _, _), .everySecondRow(let name, let shape, _),
      .everySecondColumn(let name, let shape, _), .transposedColumns(let name, let shape, _, _, _):
      parts = [try find(name, shape)]
    case .columns(let name, let shape, _): parts = [try find(name, shape)]
    case .interleaved(let name, let shape, _), .rows(let name, let shape, _):
      let tensor = try find(name, shape)
      parts = [shape.count == 1 ? tensor.asColumn : tensor]
    case .stack(let names, let shape): parts = try names.map { try find($0, shape) }
    case .computed: parts = []
    }
    info = TensorInfo(
      name: expected.name, shape: expected.shape,
      type: expected.isExact ? .f32 : Self.type(of: parts, keepsRows: expected.parts.keepRows))
  }

  /// The stored type, or that of the blocks of packed weights. If GGUF lacks it, the parts differ, or blocks do not remain
  /// whole, the narrowest float type that covers their range.
  private static func type(of parts: [StoredTensor], keepsRows: Bool) -> GGMLType {
    let types = Set(parts.map(\.nearestType))
    if types.count == 1, let only = types.first, keepsRows || !only.isQuantized { return only }
    let floats = Set(parts.map(\.floatType))
    if floats.count == 1, let only = floats.first { return only }
    return floats.contains(.f32) ? .f32 : .bf16
  }

  /// The path of the first part's file.
  var path: String? { parts.first?.file.path }

  /// The files that the tensor is read from; nil for packed weights.
  var files: [PositionedFile]? {
    parts.reduce([]) { all, part in all.flatMap { all in part.files.map { all + $0 } } }
  }

  /// True if the stored bytes need no conversion.
  private var isVerbatim: Bool {
    expected.transform == .none && !parts.isEmpty && parts.allSatisfy { $0.type == info.type }
  }

  /// Reads rows in ``info``'s type.
  func readBytes(_ rows: Range<Int>, into output: UnsafeMutableRawBufferPointer) throws {
    if isVerbatim {
      return try read(rows, as: info.type, into: output) { tensor, rows, buffer in
        try tensor.readBytes(rows, into: buffer)
      }
    }
    if info.type == .f32 { return try readFloats(rows, into: output.assumingMemoryBound(to: Float.self)) }
    let columns = info.shape.columns
    let floats = try [Float](unsafeUninitializedCapacity: rows.count * columns) { buffer, count in
      count = rows.count * columns
      try readFloats(rows, into: UnsafeMutableBufferPointer(rebasing: buffer[..<count]))
    }
    do {
      var span = MutableRawSpan(_unsafeBytes: output)
      try encodeRows(floats.span, columns: columns, importance: nil, as: info.type, into: &span)
    } catch EncodeError.nonFiniteWeight(let row, let column) {
      throw nonFinite(row: rows.lowerBound + row, column: column)
    }
  }

  /// Reads rows as floats.
  func readFloats(_ rows: Range<Int>, into output: UnsafeMutableBufferPointer<Float>) throws {
    if case .computed(let values) = expected.parts {
      _ = output.update(fromContentsOf: values)
      return
    }
    try read(rows, as: .f32, into: UnsafeMutableRawBufferPointer(output)) { tensor, rows, buffer in
      try tensor.readFloats(rows, into: buffer.assumingMemoryBound(to: Float.self))
    }
    switch expected.transform {
    case .none: break
    case .plusOne: for index in output.indices { output[index] += 1 }
    case .negativeExponential: for index in output.indices { output[index] = -Float(exp(Double(output[index]))) }
    }
  }

  private func nonFinite(row: Int, column: Int) -> FormatError {
    let stored = parts.count == 1 ? parts[0].name : expected.name
    return FormatError(
      topic: .nonFiniteWeight, path: path ?? "", subject: "tensor \(stored)",
      "the weight in row \(row), column \(column) of \(expected.name) is NaN or infinite")
  }

  private typealias Fetch = (StoredTensor, Range<Int>, UnsafeMutableRawBufferPointer) throws -> Void

  /// Copies rows of `type` to `output`. `fetch` reads consecutive rows of a stored tensor in this type.
  private func read(
    _ rows: Range<Int>, as type: GGMLType, into output: UnsafeMutableRawBufferPointer, _ fetch: Fetch
  ) throws {
    let rowBytes = type.blockBytes * (info.shape.columns / type.blockLength)
    let width = type.blockBytes
    switch expected.parts {
    case .computed: break
    case .whole:
      try fetch(parts[0], rows, output)
    case .stack(_, let shape):
      try inGroups(rows, of: shape[0], rowBytes: rowBytes, output) { group, rows, slice in
        try fetch(parts[group], rows, slice)
      }
    case .slices(_, _, let first, let count, let every):
      try inGroups(rows, of: count, rowBytes: rowBytes, output) { group, rows, slice in
        let start = group * every + first
        try fetch(parts[0], start + rows.lowerBound..<start + rows.upperBound, slice)
      }
    case .transposed(_, _, let first, let count, let every):
      try inGroups(rows, of: parts[0].columns, rowBytes: rowBytes, output) { group, rows, slice in
        let start = group * every + first
        try transpose(start..<start + count, columns: rows, width: width, into: slice, fetch)
      }
    case .transposedColumns(_, let shape, let first, let count, let every):
      try inGroups(rows, of: count, rowBytes: rowBytes, output) { group, rows, slice in
        try transpose(
          group * shape[1]..<(group + 1) * shape[1], columns: rows, every: every, first: first, width: width,
          into: slice, fetch)
      }
    case .everySecondRow(_, _, let first):
      // Rows of both kinds are read in one range.
      try withScratch(2 * rows.count * rowBytes) { scratch in
        try fetch(parts[0], 2 * rows.lowerBound..<2 * rows.upperBound, scratch)
        for row in 0..<rows.count {
          let source = (2 * row + first) * rowBytes
          UnsafeMutableRawBufferPointer(rebasing: output[row * rowBytes..<(row + 1) * rowBytes]).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: scratch[source..<source + rowBytes]))
        }
      }
    case .everySecondColumn(_, _, let first):
      try withScratch(2 * rows.count * rowBytes) { scratch in
        try fetch(parts[0], rows, scratch)
        for element in 0..<rows.count * info.shape.columns {
          let source = (2 * element + first) * width
          UnsafeMutableRawBufferPointer(rebasing: output[element * width..<(element + 1) * width]).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: scratch[source..<source + width]))
        }
      }
    case .rows(_, let shape, let order):
      // A vector is read as one column, so that its elements are rows.
      let rows = shape.count == 1 ? 0..<shape[0] : rows
      try read(rows, order: order, rowBytes: shape.count == 1 ? width : rowBytes, into: output, fetch)
    case .columns(_, _, let order):
      try readColumns(rows, order: order, width: width, into: output, fetch)
    case .interleaved(_, let shape, let heads):
      // A vector is read as one column, so that its elements are rows.
      let rows = shape.count == 1 ? 0..<shape[0] : rows
      let headRows = shape[0] / heads
      let size = shape.count == 1 ? width : rowBytes
      try inGroups(rows, of: headRows, rowBytes: size, output) { head, rows, slice in
        try interleave(rows, half: headRows / 2, start: head * headRows, rowBytes: size, into: slice, fetch)
      }
    }
  }

  /// Reads rows of a tensor whose rows are stored in another order.
  private func read(
    _ rows: Range<Int>, order: [Range<Int>], rowBytes: Int, into output: UnsafeMutableRawBufferPointer, _ fetch: Fetch
  ) throws {
    var first = 0
    for range in order {
      let wanted = rows.clamped(to: first..<first + range.count)
      if !wanted.isEmpty {
        let start = (wanted.lowerBound - rows.lowerBound) * rowBytes
        let source = range.lowerBound + wanted.lowerBound - first
        try fetch(
          parts[0], source..<source + wanted.count,
          UnsafeMutableRawBufferPointer(rebasing: output[start..<start + wanted.count * rowBytes]))
      }
      first += range.count
    }
  }

  /// Reads rows of a matrix whose columns are stored in another order.
  private func readColumns(
    _ rows: Range<Int>, order: [Range<Int>], width: Int, into output: UnsafeMutableRawBufferPointer, _ fetch: Fetch
  ) throws {
    let rowBytes = parts[0].columns * width
    try withScratch(rows.count * rowBytes) { scratch in
      try fetch(parts[0], rows, scratch)
      for row in 0..<rows.count {
        var target = row * rowBytes
        for range in order {
          let source = row * rowBytes + range.lowerBound * width
          let bytes = range.count * width
          UnsafeMutableRawBufferPointer(rebasing: output[target..<target + bytes]).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: scratch[source..<source + bytes]))
          target += bytes
        }
      }
    }
  }

  /// Splits a range at multiples of `size`. `body` gets row numbers relative to the group's first row.
  private func inGroups(
    _ rows: Range<Int>, of size: Int, rowBytes: Int, _ output: UnsafeMutableRawBufferPointer,
    _ body: (_ group: Int, _ rows: Range<Int>, _ slice: UnsafeMutableRawBufferPointer) throws -> Void
  ) throws {
    var row = rows.lowerBound
    while row < rows.upperBound {
      let (group, first) = row.quotientAndRemainder(dividingBy: size)
      let last = min(size, first + rows.upperBound - row)
      let start = (row - rows.lowerBound) * rowBytes
      let slice = UnsafeMutableRawBufferPointer(rebasing: output[start..<start + (last - first) * rowBytes])
      try body(group, first..<last, slice)
      row += last - first
    }
  }

  /// Interleaves the halves of a head: even rows come from the first, odd rows from the second.
  private func interleave(
    _ rows: Range<Int>, half: Int, start: Int, rowBytes: Int, into output: UnsafeMutableRawBufferPointer,
    _ fetch: Fetch
  ) throws {
    for parity in 0..<2 {
      let first = (rows.lowerBound + 1 - parity) / 2
      let last = (rows.upperBound + 1 - parity) / 2
      guard first < last else { continue }
      let source = start + parity * half
      try withScratch((last - first) * rowBytes) { scratch in
        try fetch(parts[0], source + first..<source + last, scratch)
        for row in first..<last {
          let target = (2 * row + parity - rows.lowerBound) * rowBytes
          let from = (row - first) * rowBytes
          UnsafeMutableRawBufferPointer(rebasing: output[target..<target + rowBytes]).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: scratch[from..<from + rowBytes]))
        }
      }
    }
  }

  /// Transposes the part `columns` of stored rows. Column i is the stored column `every` * i + `first`.
  private func transpose(
    _ rows: Range<Int>, columns: Range<Int>, every: Int = 1, first: Int = 0, width: Int,
    into output: UnsafeMutableRawBufferPointer, _ fetch: Fetch
  ) throws {
    let stride = parts[0].columns
    try withScratch(rows.count * stride * width) { scratch in
      try fetch(parts[0], rows, scratch)
      func move<T>(_: T.Type) {
        let source = scratch.assumingMemoryBound(to: T.self)
        let target = output.assumingMemoryBound(to: T.self)
        for column in columns {
          let start = (column - columns.lowerBound) * rows.count
          for row in 0..<rows.count { target[start + row] = source[row * stride + every * column + first] }
        }
      }
      if width == 2 { move(UInt16.self) } else { move(UInt32.self) }
    }
  }

  private func withScratch(_ bytes: Int, _ body: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows {
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 32)
    defer { scratch.deallocate() }
    try body(scratch)
  }
}
