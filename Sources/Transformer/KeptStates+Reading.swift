import Files
import GGUF
import Tensors

extension KeptStates {
  struct File {
    let layer: Int
    let range: Range<Int>
    let path: String
  }

  private struct Opened {
    let file: File
    let content: GGUFFile
    let states: TensorInfo
    let digests: [UInt8]
  }

  /// The files of the folder, by layer and window.
  func all() throws -> [File] {
    let prefix = folder + "/layer-"
    return PrefixedFiles(prefix).paths.compactMap { path -> File? in
      guard let match = path.dropFirst(prefix.count).wholeMatch(of: /(\d+)\.windows-(\d+)-(\d+)\.gguf/),
        let layer = Int(match.1), let first = Int(match.2), let count = Int(match.3), count > 0, first < Int.max - count
      else { return nil }
      return File(layer: layer, range: first..<first + count, path: path)
    }.sorted { ($0.layer, $0.range.lowerBound, $0.range.count) < ($1.layer, $1.range.lowerBound, $1.range.count) }
  }

  func requireSame(_ file: GGUFFile, _ path: String) throws(KeptStatesError) {
    guard file.metadata.optionalString("general.type") == Key.kind,
      let names = file.metadata.optionalStrings(Key.names), let values = file.metadata.optionalStrings(Key.values),
      names.count == values.count
    else { throw .damaged(path: path, reason: "does not hold states of a text", origin: nil) }
    for input in inputs {
      let value = zip(names, values).first { $0.0 == input.name }?.1 ?? "none"
      guard value == input.value else {
        throw .other(path: path, field: input.name, value: value, expected: input.value)
      }
    }
  }

  private static func origin(of path: String) -> Origin? {
    guard let file = try? GGUFFile(path: path, headerOnly: true),
      let arguments = file.metadata.optionalStrings(Key.arguments)
    else { return nil }
    guard let part = file.metadata.optionalInts(Key.part) else { return Origin(arguments: arguments, part: nil) }
    return part.count == 2 ? Origin(arguments: arguments, part: RunPart(number: part[0], count: part[1])) : nil
  }

  private func open(_ file: File, by pass: ForwardPass) throws -> Opened {
    do {
      let content = try GGUFFile(path: file.path)
      try requireSame(content, file.path)
      // Before sizes are computed from the name.
      guard file.range.upperBound <= windows.count,
        content.metadata.optionalInts(Key.position) == [file.layer, file.range.lowerBound],
        case let expected = Self.tensors(file.range.count, windows.first?.count ?? 0, pass), content.tensors == expected
      else {
        throw KeptStatesError.damaged(
          path: file.path, reason: "holds another layer or other windows than its name says",
          origin: Self.origin(of: file.path))
      }
      var digests = [UInt8](repeating: 0, count: file.range.count * DataDigest.byteCount)
      var span = digests.mutableSpan
      var bytes = span.mutableBytes
      try content.readBytes(of: expected[1], rows: 0..<file.range.count, into: &bytes)
      return Opened(file: file, content: content, states: expected[0], digests: digests)
    } catch let error as FormatError {
      throw KeptStatesError.damaged(
        path: file.path, reason: error.subject.map { "\($0) \(error.reason)" } ?? error.reason,
        origin: Self.origin(of: file.path))
    }
  }

  func isReadable(_ file: File, by pass: ForwardPass) -> Bool { (try? open(file, by: pass)) != nil }

  /// The files of a layer that have each window of the text once.
  private func files(before layer: Int, by pass: ForwardPass) throws -> [Opened] {
    let all = try all()
    let files = all.filter { $0.layer == layer }
    guard let first = files.first else {
      throw KeptStatesError.noLayer(folder: folder, layer: layer, kept: Set(all.map(\.layer)).sorted())
    }
    var chosen: [Opened] = []
    var end = 0
    while end < windows.count {
      // Runs in different numbers of parts may have kept the same windows, with the same states.
      guard let next = files.last(where: { $0.range.contains(end) }) else {
        let later = files.map(\.range.lowerBound).filter { $0 > end }.min() ?? windows.count
        // States of other windows than the text's are of another run.
        for file in files { _ = try open(file, by: pass) }
        throw KeptStatesError.missing(
          folder: folder, layer: layer, windows: end..<min(later, windows.count), of: windows.count,
          origin: Self.origin(of: first.path).map { origin in
            guard let count = origin.part?.count else { return origin }
            return Origin(arguments: origin.arguments, part: RunPart(ofIndex: end, in: windows.count, count: count))
          })
      }
      chosen.append(try open(next, by: pass))
      end = next.range.upperBound
    }
    return chosen
  }

  /// Throws unless the states of the whole text before a layer are there. Reads no states.
  ///
  /// - Throws: ``KeptStatesError``, `FileError`.
  public func check(before layer: Int, by pass: ForwardPass) throws { _ = try files(before: layer, by: pass) }

  /// The states of the whole text before a layer.
  ///
  /// - Parameter plan: that of the pass that begins with them.
  /// - Throws: ``KeptStatesError``, `FileError`.
  public func states(before layer: Int, by pass: ForwardPass, _ plan: ForwardPlan) throws -> HiddenStates {
    let files = try files(before: layer, by: pass)
    let length = windows.first?.count ?? 0
    var activations = try pass.emptyStates(windows: windows.count, length: length, plan)
    let rowFloats = length * activations.columns
    var index = 0
    for slab in 0..<activations.layout.slabs {
      let range = activations.layout.windows(inSlab: slab)
      try activations.update(slab) { rows in
        for window in range {
          if window == files[index].file.range.upperBound { index += 1 }
          try Self.read(
            window, of: files[index],
            into: rows.slice((window - range.lowerBound) * rowFloats, rowFloats), length: length)
        }
      }
    }
    return HiddenStates(layer: layer, activations: activations, plan: plan)
  }

  private static func read(_ window: Int, of opened: Opened, into rows: FloatView, length: Int) throws {
    let index = window - opened.file.range.lowerBound
    try rows.withMutableSpan {
      var bytes = $0.mutableBytes
      try opened.content.readBytes(of: opened.states, rows: index * length..<(index + 1) * length, into: &bytes)
    }
    var digest = DataDigest()
    rows.withSpan { digest.update($0.bytes) }
    let expected = opened.digests[index * DataDigest.byteCount..<(index + 1) * DataDigest.byteCount]
    guard digest.bytes().elementsEqual(expected) else {
      throw KeptStatesError.damaged(
        path: opened.file.path, reason: "window \(window) has another SHA-256 than when it was written",
        origin: origin(of: opened.file.path))
    }
  }
}

extension RunPart {
  /// The part with an index of the whole.
  fileprivate init?(ofIndex index: Int, in total: Int, count: Int) {
    self.init(number: ((index + 1) * count + total - 1) / total, count: count)
  }
}
