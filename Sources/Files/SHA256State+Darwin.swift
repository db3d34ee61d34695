#if canImport(CryptoKit)
  import CryptoKit

  /// SHA-256 of the system's CryptoKit.
  struct SHA256State: ~Copyable {
    private var hash = SHA256()

    mutating func update(_ bytes: UnsafeRawBufferPointer) { hash.update(bufferPointer: bytes) }

    func digest() -> [UInt8] { Array(hash.finalize()) }
  }
#endif
