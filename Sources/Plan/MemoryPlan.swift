import GGUF
import Quantize
import Tensors

/// The memory and the speed of a model's mixes on a machine at a context length, derived from shapes alone.
public struct MemoryPlan: Sendable {
  /// The model.
  public let model: any ModelSource
  /// The model's dimensions.
  public let dimensions: ModelDimensions
  /// The machine.
  public let machine: Machine
  /// The context length in tokens.
  public let context: Int
  /// The type of the cache's elements.
  public let cacheType: CacheType
  /// The key/value cache.
  public let cache: KeyValueCache
  /// Bytes of the cache at ``context``.
  public let cacheBytes: Int
  /// Memory in addition to weights and cache.
  public let working: WorkingMemory
  /// The size of the files' metadata.
  public let metadata: MetadataSize
  /// The sizes of quantized files, if the tokenizer is known. Their headers have a recipe and the source's fingerprint.
  private let sizes: FileSize?
  /// The number of elements of all tensors.
  public let weights: Int
  /// The names of tensors that have their present type in every mix.
  public let kept: Set<String>
  /// The rows, in the order in which they were added.
  public private(set) var rows: [PlanRow] = []

  /// A plan without rows.
  ///
  /// - Parameters:
  ///   - context: the context length in tokens.
  ///   - type: the type of the cache's elements.
  ///   - publishedMetadata: metadata bytes of the model's published files, if known.
  ///   - kept: the names of tensors that have their present type in every mix.
  /// - Throws: ``PlanError`` if a dimension is missing, or heads do not consist of whole blocks of the cache's type.
  public init(
    _ model: any ModelSource, machine: Machine, context: Int, cache type: CacheType = .f16,
    publishedMetadata: Int? = nil, keeping kept: Set<String> = []
  ) throws(PlanError) {
    self.model = model
    self.kept = kept
    self.machine = machine
    self.context = context
    cacheType = type
    dimensions = try ModelDimensions(of: model)
    cache = KeyValueCache(dimensions)
    guard let bytes = cache.bytes(context: context, type) else {
      throw PlanError(
        .usage, topic: .cacheType,
        "\(model.name): heads of \(dimensions.keyLength) elements are not whole \(type.type) blocks")
    }
    cacheBytes = bytes
    working = WorkingMemory(dimensions, context: context)
    let files = try? model.outputForm?.container(model.tensors.map(\.exactType), Self.header(of: model))
    metadata =
      files.map { MetadataSize(bytes: $0.headerBytes, kind: .exact) }
      ?? MetadataSize(of: model, vocabulary: dimensions.vocabulary, published: publishedMetadata)
    sizes = metadata.kind == .exact && files == nil ? FileSize(Self.header(of: model)) : nil
    weights = model.tensors.reduce(0) { $0 + $1.shape.count }
  }

  /// Largest file in bytes that fits the machine; negative if cache and activations alone exceed it.
  public var largestFile: Int { machine.usable - cacheBytes - working.total }

  /// Adds a row for a mix.
  public mutating func add(_ mix: PlannedMix) {
    let types = zip(model.tensors, mix.types(model)).map { kept.contains($0.name) ? $0.type : $1 }
    let header = try? sizes?.headerBytes(of: types, name: mix.isPreset ? mix.name : nil)
    add(
      name: mix.name, types: types, mix.isPreset ? .preset : .stock, mix.needsImportance,
      drift: mix.publishedDrift, headerBytes: header)
  }

  /// Adds a row for the model's present types.
  public mutating func addUnchanged(named name: String) {
    let header = sizes.map { _ in GGUFLayout(metadata: model.metadata, tensors: model.tensors).header.count }
    add(name: name, types: model.tensors.map(\.type), .own, false, drift: nil, headerBytes: header)
  }

  private mutating func add(
    name: String, types: [GGMLType], _ kind: PlanRow.Kind, _ needsImportance: Bool, drift: Double?, headerBytes: Int?
  ) {
    if let form = model.outputForm, let files = try? form.container(types, Self.header(of: model)) {
      rows.append(
        row(
          name, fileBytes: files.totalBytes, DecodeSpeed.bytesPerToken(model, types: types, dimensions), nil, kind,
          false,
          drift, headerBytes: files.headerBytes))
      return
    }
    let alignment = model.metadata.optionalInt("general.alignment") ?? defaultAlignment
    let tensorBytes = zip(model.tensors, types).reduce(0) { sum, pair in
      sum + (pair.0.bytes(as: pair.1, alignment: alignment) ?? 0)
    }
    let read = DecodeSpeed.bytesPerToken(model, types: types, dimensions)
    rows.append(
      row(
        name, fileBytes: tensorBytes + (headerBytes ?? metadata.bytes), read,
        Compatibility(types: types, metadata: model.metadata), kind, needsImportance, drift, headerBytes: headerBytes))
  }

  /// Adds a row for a file of a given size, whatever its types. The bytes read per token are scaled from the row
  /// nearest in size.
  public mutating func add(target: Int, named name: String) {
    let nearest = rows.min { abs($0.fileBytes - target) < abs($1.fileBytes - target) }
    let share = nearest.map { Double($0.readBytes) / Double(max(1, $0.tensorBytes)) } ?? 1
    let read = Int(share * Double(max(0, target - metadata.bytes)))
    rows.append(row(name, fileBytes: target, read, nil, .target, false, nil))
  }

  /// The header of a file without importance and feedback. A fingerprint has 64 digits.
  private static func header(of model: any ModelSource) -> OutputHeader {
    OutputHeader(source: model, importance: nil, fingerprint: String(repeating: "0", count: 64))
  }

  private func row(
    _ name: String, fileBytes: Int, _ read: Int, _ compatibility: Compatibility?, _ kind: PlanRow.Kind,
    _ needsImportance: Bool, _ drift: Double?, headerBytes: Int? = nil
  ) -> PlanRow {
    let (total, overflow) = fileBytes.addingReportingOverflow(cacheBytes + working.total)
    let bytes = overflow ? Int.max : total
    let tensorBytes = max(0, fileBytes - (headerBytes ?? metadata.bytes))
    return PlanRow(
      name: name, tensorBytes: tensorBytes, fileBytes: fileBytes,
      bitsPerWeight: Double(tensorBytes) * 8 / Double(max(1, weights)), totalBytes: bytes,
      fits: bytes <= machine.usable,
      tokensPerSecond: DecodeSpeed.tokensPerSecond(readingPerToken: read, of: dimensions, on: machine),
      tokensPerSecondAtFullContext: DecodeSpeed.tokensPerSecond(
        readingPerToken: read + cacheBytes, of: dimensions, on: machine), compatibility: compatibility,
      needsImportance: needsImportance, publishedDrift: drift, kind: kind, readBytes: read)
  }

  /// Expected upper bound of a row's drift: the published figure, or, for a mix that is made to lose less than stock
  /// mixes of its size, the figure of the best stock mix that is not larger. nil if neither is known.
  public func expectedDrift(of row: PlanRow) -> Double? {
    guard row.kind == .preset || row.kind == .target else { return row.publishedDrift }
    return rows.filter { $0.tensorBytes <= row.tensorBytes }.compactMap(\.publishedDrift).min()
  }

  /// The row of lowest expected drift that fits and is not larger than the source. Among equals, a mix made for the
  /// model comes first, then the source's types, then the smaller file.
  public var best: Int? {
    let source = model.tensors.reduce(0) { $0 + ($1.shape.bytes(as: $1.type) ?? 0) }
    let sourceType = model.tensors.max { $0.shape.count < $1.shape.count }?.type.name
    // Up to 1 % more than the source counts as the same size (padding, norms).
    let maximum = max(source, source / 100 * 101)
    let candidates = rows.indices.compactMap { index -> (index: Int, drift: Double, rank: Int, bytes: Int)? in
      let row = rows[index]
      guard row.fits, row.tensorBytes <= maximum, let drift = expectedDrift(of: row) else { return nil }
      return (index, drift, row.kind != .stock ? 0 : row.name == sourceType ? 1 : 2, row.tensorBytes)
    }
    return candidates.min { ($0.drift, $0.rank, $0.bytes) < ($1.drift, $1.rank, $1.bytes) }?.index
  }

  /// The row of the smallest file; nil without rows.
  public var smallest: PlanRow? { rows.min { $0.fileBytes < $1.fileBytes } }
}
