extension DecoderArchitecture {
  /// Makes the feed-forward part of a layer.
  typealias FeedForward = @Sendable (_ model: ModelReader, _ layer: Int, _ width: Int) throws -> any LayerPart

  /// An architecture with grouped attention and one rotation, without sliding windows of some layers.
  ///
  /// - Parameters:
  ///   - rotation: the pairs of the rotation.
  ///   - norms: the norms of queries and keys.
  ///   - adjust: changes the attention of a layer.
  static func grouped(
    _ name: String, honoured: Set<String> = [], rotation: Rope.Style = .halves, norms: HeadNorms = .none,
    adjust: @escaping @Sendable (inout GroupedAttention, ModelReader, _ layer: Int) throws -> Void = { _, _, _ in },
    feedForward: @escaping FeedForward = { try DenseFeedForward($0, layer: $1, width: $2) }
  ) -> DecoderArchitecture {
    DecoderArchitecture(name: name, honoured: honoured) { model in
      let base = try DecoderBase(model)
      let attention = try (0..<base.layers).map { index in
        var part = try GroupedAttention(model, layer: index, width: base.width, norms: norms)
        try adjust(&part, model, index)
        return part
      }
      let rope = try Rope(model, style: rotation, dimensions: attention[0].keyLength)
      return try base.decoder(model, rope: rope) { index in
        DecoderLayer(attention: attention[index], feedForward: try feedForward(model, index, base.width))
      }
    }
  }
}

/// The norms of queries and keys.
enum HeadNorms: Sendable {
  case none
  /// One for each head.
  case perHead
  /// One for each head, if the file has their weights.
  case optional
  /// Over the elements of all heads.
  case allHeads
}
