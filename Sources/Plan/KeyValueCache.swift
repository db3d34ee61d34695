import Tensors

/// The type of cached keys and values.
public enum CacheType: String, Sendable, CaseIterable, Codable {
  case f16
  case q8_0

  /// The element type.
  public var type: GGMLType { self == .f16 ? .f16 : .q8_0 }
}

/// The key/value cache: bytes by context length and type.
///
/// A layer keeps `heads_kv x key length` elements of keys and `heads_kv x value length` of values for every token. A
/// layer with a sliding window keeps those of the window and of the batch that is computed. Latent attention keeps one
/// compressed row for both; its old form keeps every head expanded. A delta net keeps a state of constant size.
public struct KeyValueCache: Sendable, Equatable {
  /// Elements of the rows that one token adds: a row of keys and a row of values per layer.
  let rows: [Int]
  /// The same of layers with a sliding window.
  let windowRows: [Int]
  /// The tokens of a sliding window; 0 without.
  private let window: Int
  /// Bytes of the states of delta nets, in single precision whatever the cache's type.
  public let stateBytes: Int
  /// Elements of one head; a multiple of the block length of a quantized cache.
  private let headLengths: [Int]

  package init(_ dimensions: ModelDimensions) {
    self.init(dimensions, expanded: dimensions.latent?.isExpanded ?? false)
  }

  /// - Parameter expanded: whether latent attention caches all heads expanded; ignored for other kinds of attention.
  public init(_ dimensions: ModelDimensions, expanded: Bool) {
    stateBytes = dimensions.stateBytes
    if let latent = dimensions.latent {
      (windowRows, window) = ([], 0)
      if expanded {
        headLengths = [latent.key, latent.value]
        let layer = [latent.key * dimensions.heads, latent.value * dimensions.heads]
        rows = Array(repeating: layer, count: dimensions.layers).flatMap { $0 }
      } else {
        headLengths = [latent.compressed]
        rows = Array(repeating: latent.compressed, count: dimensions.layers)
      }
      return
    }
    let layers = dimensions.keyHeads.enumerated().map { layer, heads in
      (
        isSliding: dimensions.isSliding.indices.contains(layer) && dimensions.isSliding[layer], heads: heads,
        lengths: dimensions.lengths(layer: layer)
      )
    }
    let window = dimensions.window
    self.window = window
    headLengths = layers.flatMap(\.lengths)
    rows = layers.filter { window == 0 || !$0.isSliding }.flatMap { layer in layer.lengths.map { $0 * layer.heads } }
    windowRows = layers.filter { window > 0 && $0.isSliding }
      .flatMap { layer in layer.lengths.map { $0 * layer.heads } }
  }

  /// Bytes that every token of a long context adds; nil if a head's length is not a multiple of the type's block
  /// length.
  public func bytesPerToken(_ type: CacheType) -> Int? { bytes(of: rows, type) }

  /// Bytes of the layers with a sliding window at `context` tokens.
  public func windowBytes(context: Int, _ type: CacheType) -> Int? {
    // llama.cpp adds a batch to the window, and rounds the sum up.
    bytes(of: windowRows, type).map { $0 * Self.cells(min(Self.cells(context), window + WorkingMemory.batch)) }
  }

  /// Bytes at `context` tokens, which llama.cpp rounds up to a multiple of 256.
  public func bytes(context: Int, _ type: CacheType) -> Int? {
    guard let growing = bytesPerToken(type), let windows = windowBytes(context: context, type) else { return nil }
    return growing * Self.cells(context) + windows + stateBytes
  }

  private func bytes(of rows: [Int], _ type: CacheType) -> Int? {
    guard headLengths.allSatisfy({ $0 % type.type.blockLength == 0 }) else { return nil }
    return rows.reduce(0) { $0 + (type.type.rowBytes(columns: $1) ?? 0) }
  }

  static func cells(_ context: Int) -> Int { (context + 255) / 256 * 256 }
}
