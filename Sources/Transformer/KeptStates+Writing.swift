import Files
import Foundation
import GGUF
import Tensors

extension KeptStates {
  private func path(_ layer: Int, _ range: Range<Int>) -> String {
    "\(folder)/layer-\(layer).windows-\(range.lowerBound)-\(range.count).gguf"
  }

  /// Creates the folder. Throws where it holds states of other runs, or where the disk has too little space.
  public func prepare(_ keeping: Keeping, by pass: ForwardPass) throws {
    guard pass.decoder.carriedColumns == 0, pass.decoder.layerInputs == nil else {
      throw KeptStatesError.carried(model: pass.source.name)
    }
    try makeFolder()
    let files = try all()
    for file in files.prefix(1) + files.filter({ keeping.layers.contains($0.layer) && $0.range == keeping.range }) {
      if let header = try? GGUFFile(path: file.path, headerOnly: true) { try requireSame(header, file.path) }
    }
    let remaining = keeping.layers.filter { !isKept(before: $0, keeping.range, by: pass) }
    let bytes = remaining.count * Self.bytes(windows: Array(windows[keeping.range]), of: pass.decoder)
    if let free = OutputFile.free(for: folder + "/"), bytes > free {
      throw FileError(.reserve, path: folder, lacking: bytes - free, code: ENOSPC)
    }
  }

  private func makeFolder() throws(FileError) {
    var status = stat()
    guard mkdir(folder, 0o755) != 0 else { return }
    guard errno == EEXIST, stat(folder, &status) == 0 else { throw FileError(.create, path: folder, code: errno) }
    guard status.st_mode & S_IFMT == S_IFDIR else { throw FileError(.create, path: folder, code: ENOTDIR) }
    guard access(folder, W_OK | X_OK) == 0 else { throw FileError(.create, path: folder, code: errno) }
  }

  /// Whether the states of these windows are complete before every one of these layers.
  public func areKept(_ keeping: Keeping, before end: Int = .max, by pass: ForwardPass) -> Bool {
    keeping.layers.allSatisfy { $0 > end || isKept(before: $0, keeping.range, by: pass) }
  }

  private func isKept(before layer: Int, _ range: Range<Int>, by pass: ForwardPass) -> Bool {
    isReadable(File(layer: layer, range: range, path: path(layer, range)), by: pass)
  }

  /// Writes the states of some windows before a layer.
  ///
  /// - Throws: `FileError`, ``KeptStatesError/other(path:field:value:expected:)`` for a file of another run.
  public func write(_ states: HiddenStates, of keeping: Keeping, by pass: ForwardPass) throws {
    let path = path(states.layer, keeping.range)
    if let earlier = try? GGUFFile(path: path, headerOnly: true) { try requireSame(earlier, path) }
    let (activations, layout) = (states.activations, states.activations.layout)
    precondition(layout.windows == keeping.range.count, "\(layout.windows) windows of \(keeping.range)")
    var metadata: Metadata = [
      "general.type": .string(Key.kind), Key.names: .array(.string(inputs.map(\.name))),
      Key.values: .array(.string(inputs.map(\.value))), Key.arguments: .array(.string(keeping.origin.arguments)),
      Key.position: .array(.int32([Int32(states.layer), Int32(keeping.range.lowerBound)])),
    ]
    if let part = keeping.origin.part { metadata[Key.part] = .array(.int32([Int32(part.number), Int32(part.count)])) }
    let writer = try GGUFWriter(
      path: path,
      layout: GGUFLayout(metadata: metadata, tensors: Self.tensors(keeping.range.count, layout.length, pass)),
      overwrite: true)
    let rowFloats = layout.length * activations.columns
    for slab in 0..<layout.slabs {
      let rows = try activations.read(slab)
      let range = layout.windows(inSlab: slab)
      for (index, window) in range.enumerated() {
        var digest = DataDigest()
        try rows.floats.slice(index * rowFloats, rowFloats).withSpan {
          digest.update($0.bytes)
          try writer.write($0.bytes, tensor: 0, row: window * layout.length)
        }
        try writer.write(digest.bytes().span.bytes, tensor: 1, row: window)
      }
    }
    try writer.commit()
  }

  static func tensors(_ windows: Int, _ length: Int, _ pass: ForwardPass) -> [TensorInfo] {
    [
      TensorInfo(name: Tensor.states, shape: Shape([pass.decoder.width, windows * length])!, type: .f32),
      TensorInfo(name: Tensor.digests, shape: Shape([DataDigest.byteCount, windows])!, type: .i8),
    ]
  }
}
