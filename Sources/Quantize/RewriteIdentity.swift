import Files

extension RunIdentity {
  /// The inputs of the rewriting of a model.
  ///
  /// - Parameters:
  ///   - version: qtool's version, since encoders change between versions.
  ///   - source: the fingerprint of the source model, in hexadecimal.
  ///   - importance: a digest of the importance matrix, or `none`.
  ///   - recipe: a digest of the output's header: its metadata and the type of every tensor.
  public init(version: String, source: String, importance: String, recipe: String) {
    self.init([
      Field("source model", source), Field("importance matrix", importance), Field("recipe or metadata", recipe),
      Field("version of qtool", version),
    ])
  }
}
