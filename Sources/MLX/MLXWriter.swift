import Files
import Foundation
import GGUF
import Tensors

/// Writes an MLX directory: weights in any order of rows, then the files beside them.
///
/// Rows come as blocks (`AffineFormat`); codes, scales and biases go to their own tensors. All grows in `DIRECTORY.part`.
final class MLXWriter: TensorWriter {
  let paths: [String]
  let isResumed: Bool
  private let path: String
  private let folder: String
  private let container: MLXContainer
  private let tensors: [TensorInfo]
  private var outputs: [OutputFile]
  private var keepsTemporary: Bool
  private var isCommitted = false
  /// The rows of tensors that no file has.
  private var omitted: [Int: [UInt8]] = [:]

  init(path: String, container: MLXContainer, overwrite: Bool, resuming: Bool) throws {
    self.path = MLXDirectory.trimmed(path)
    self.container = container
    paths = [self.path]
    tensors = zip(container.source.tensors, container.types).map {
      TensorInfo(name: $0.name, shape: $0.shape, type: $1)
    }
    try MLXDirectory.check(self.path, overwrite: overwrite)
    let folder = MLXDirectory.temporary(path)
    self.folder = folder
    try MLXDirectory.create(folder)
    keepsTemporary = resuming
    outputs = []
    let layout = container.layout
    // A directory is published with all that is in it.
    MLXDirectory.empty(folder, except: Set(layout.files.map { $0.name + ".part" }))
    do {
      let opened = try layout.files.map { try OutputFile(path: folder + "/" + $0.name, resuming: resuming) }
      let allocated = opened.reduce(0) { $0 + $1.allocated }
      try OutputFile.requireSpace(container.totalBytes - allocated, for: self.path)
      isResumed = resuming && zip(opened, layout.files).allSatisfy { $0.inherited == $1.totalBytes }
      for (output, file) in zip(opened, layout.files) {
        try output.reserve(file.totalBytes)
        try output.write(file.header)
      }
      outputs = opened
    } catch {
      if !resuming { rmdir(folder) }
      throw error
    }
  }

  func keepTemporary() {
    keepsTemporary = true
    outputs.forEach { $0.keepTemporary() }
  }

  func discardTemporary() {
    keepsTemporary = false
    outputs.forEach { $0.discardTemporary() }
  }

  deinit {
    guard !isCommitted, !keepsTemporary else { return }
    outputs = []
    MLXDirectory.empty(folder)
    rmdir(folder)
  }

  // MARK: rows

  /// Whole rows; a vector whose elements are ordered anew has one element a row.
  private struct Rows {
    let count: Int
    let bytes: Int
    let first: Int
  }

  private func rows(_ index: Int, byteCount: Int, row: Int) -> Rows {
    let tensor = tensors[index]
    if tensor.shape.dimensions.count == 1, container.layout.placements[index].order != nil {
      return Rows(count: tensor.shape.columns, bytes: tensor.type.blockBytes, first: 0)
    }
    let bytes = tensor.type.rowBytes(columns: tensor.shape.columns) ?? 0
    precondition(
      bytes == 0 || byteCount % bytes == 0 && row + byteCount / bytes <= tensor.shape.rows,
      "\(byteCount) bytes at row \(row) of \(tensor.name)")
    return Rows(count: bytes == 0 ? 0 : byteCount / bytes, bytes: bytes, first: row)
  }

  func write(_ bytes: RawSpan, tensor index: Int, row: Int) throws {
    let placement = container.layout.placements[index]
    let rows = rows(index, byteCount: bytes.byteCount, row: row)
    guard rows.count > 0 else { return }
    guard !placement.parts.isEmpty else {
      var kept = omitted[index] ?? [UInt8](repeating: 0, count: rows.bytes * tensors[index].shape.rows)
      bytes.withUnsafeBytes { kept.replaceSubrange(row * rows.bytes..<row * rows.bytes + bytes.byteCount, with: $0) }
      omitted[index] = kept
      return
    }
    if let columns = placement.columns {
      let moved = columns.toMLX(bytes.withUnsafeBytes { Array($0) }, rowBytes: rows.bytes)
      return try write(moved.span.bytes, index, placement, rows)
    }
    try write(bytes, index, placement, rows)
  }

  private func write(_ bytes: RawSpan, _ index: Int, _ placement: MLXLayout.Placement, _ rows: Rows) throws {
    for run in MLXRowRun.all(rows.first, rows.count, placement.order) {
      let parts = placement.parts[run.part]
      if tensors[index].type == .mxfp4 {
        let split = bytes.withUnsafeBytes {
          MicroscaledRows($0, run.sources, groups: tensors[index].shape.columns / 32)
        }
        for (part, data) in zip(parts, [split.codes, split.scales]) {
          try write(data, part: part, at: run.target * data.count / run.sources.count)
        }
        continue
      }
      guard let format = tensors[index].type.affine else {
        let data = bytes.withUnsafeBytes { bytes in
          run.sources.count == rows.count && placement.order == nil
            ? Array(bytes)
            : run.sources.flatMap { UnsafeRawBufferPointer(rebasing: bytes[$0 * rows.bytes..<($0 + 1) * rows.bytes]) }
        }
        try write(data, part: parts[0], at: run.target * rows.bytes)
        continue
      }
      let groups = rows.bytes / format.type.blockBytes
      let split = bytes.withUnsafeBytes { SplitRows($0, run.sources, groups: groups, format) }
      for (part, data) in zip(parts, [split.codes, split.scales, split.biases]) {
        try write(data, part: part, at: run.target * data.count / run.sources.count)
      }
    }
  }

  private func write(_ data: [UInt8], part: Int, at offset: Int) throws {
    let part = container.layout.parts[part]
    try outputs[part.file].write(data.span.bytes, at: part.offset + offset)
  }

  func read(into output: inout MutableRawSpan, tensor index: Int, row: Int) throws {
    let placement = container.layout.placements[index]
    let rows = rows(index, byteCount: output.byteCount, row: row)
    guard rows.count > 0 else { return }
    guard !placement.parts.isEmpty else {
      let kept = omitted[index] ?? [UInt8](repeating: 0, count: rows.bytes * tensors[index].shape.rows)
      output.withUnsafeMutableBytes {
        $0.copyBytes(from: kept[row * rows.bytes..<row * rows.bytes + $0.count])
      }
      return
    }
    for run in MLXRowRun.all(rows.first, rows.count, placement.order) {
      let parts = placement.parts[run.part]
      func bytes(_ part: Int, _ rowBytes: Int) throws -> [UInt8] {
        let part = container.layout.parts[part]
        var data = [UInt8](repeating: 0, count: run.sources.count * rowBytes)
        var span = data.mutableSpan
        var raw = span.mutableBytes
        try outputs[part.file].read(into: &raw, at: part.offset + run.target * rowBytes)
        return data
      }
      if tensors[index].type == .mxfp4 {
        let groups = tensors[index].shape.columns / 32
        let split = MicroscaledRows(
          codes: try bytes(parts[0], groups * MicroscaledRows.codeBytes), scales: try bytes(parts[1], groups))
        output.withUnsafeMutableBytes { split.join(into: $0, run.sources, groups: groups) }
        continue
      }
      guard let format = tensors[index].type.affine else {
        let data = try bytes(parts[0], rows.bytes)
        output.withUnsafeMutableBytes { output in
          for (number, source) in run.sources.enumerated() {
            UnsafeMutableRawBufferPointer(rebasing: output[source * rows.bytes..<(source + 1) * rows.bytes])
              .copyBytes(from: data[number * rows.bytes..<(number + 1) * rows.bytes])
          }
        }
        continue
      }
      let groups = rows.bytes / format.type.blockBytes
      let split = SplitRows(
        codes: try bytes(parts[0], groups * (format.type.blockBytes - 4)),
        scales: try bytes(parts[1], groups * 2), biases: try bytes(parts[2], groups * 2))
      output.withUnsafeMutableBytes { split.join(into: $0, run.sources, groups: groups, format) }
    }
    guard let columns = placement.columns else { return }
    let inOrder = columns.fromMLX(output.withUnsafeMutableBytes { Array($0) }, rowBytes: rows.bytes)
    output.withUnsafeMutableBytes { $0.copyBytes(from: inOrder) }
  }

  /// SHA-256 of the rows as blocks, in GGUF's order.
  func digest(tensor index: Int) throws -> String {
    var digest = DataDigest()
    let tensor = tensors[index]
    guard let rowBytes = tensor.type.rowBytes(columns: tensor.shape.columns), rowBytes > 0 else { return digest.hex() }
    let step = max(1, (16 << 20) / rowBytes)
    for row in stride(from: 0, to: tensor.shape.rows, by: step) {
      var bytes = [UInt8](repeating: 0, count: min(step, tensor.shape.rows - row) * rowBytes)
      var span = bytes.mutableSpan
      var raw = span.mutableBytes
      try read(into: &raw, tensor: index, row: row)
      digest.update(bytes.span.bytes)
    }
    return digest.hex()
  }

  func commit() throws {
    let source = container.source.folder
    for (name, size) in source.companions {
      let bytes = try PositionedFile(path: source.directory + "/" + name).bytes(in: 0..<size)
      try Self.write(bytes, to: folder + "/" + name)
    }
    for (name, text) in container.texts { try Self.write(Array(text.utf8), to: folder + "/" + name) }
    for output in outputs { try output.commit() }
    try MLXDirectory.publish(folder, as: path)
    isCommitted = true
  }

  private static func write(_ bytes: [UInt8], to path: String) throws {
    let output = try OutputFile(path: path, overwrite: true)
    try output.write(bytes)
    try output.commit()
  }
}
