#if canImport(COpenSSL)
  import COpenSSL

  /// A running SHA-256 by libcrypto.
  struct SHA256State: ~Copyable {
    private let context: OpaquePointer

    init() {
      guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
        fatalError("libcrypto has no SHA-256 or no memory for it")
      }
      self.context = context
    }

    deinit { EVP_MD_CTX_free(context) }

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
      let isDone = EVP_DigestUpdate(context, bytes.baseAddress, bytes.count)
      precondition(isDone == 1, "SHA-256 takes any number of bytes")
    }

    /// Finishes a copy, so that more bytes may follow.
    func digest() -> [UInt8] {
      guard let copy = EVP_MD_CTX_new(), EVP_MD_CTX_copy_ex(copy, context) == 1 else {
        fatalError("libcrypto has no memory for a digest")
      }
      defer { EVP_MD_CTX_free(copy) }
      var digest = [UInt8](repeating: 0, count: DataDigest.byteCount)
      precondition(EVP_DigestFinal_ex(copy, &digest, nil) == 1, "a digest is finished once")
      return digest
    }
  }
#endif
