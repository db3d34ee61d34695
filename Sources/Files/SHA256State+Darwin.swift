#if canImport(CryptoKit)
  import CryptoKit

  /// A running SHA-256 by CryptoKit.
  struct SHA256State: ~Copyable {
    private var hash = SHA256()

    mutating func update(_ bytes: UnsafeRawBufferPointer) { hash.update(bufferPointer: bytes) }

    func digest() -> [UInt8] { Array(hash.finalize()) }
  }
#endif
