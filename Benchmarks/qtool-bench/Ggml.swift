import Foundation
import Tensors

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// ggml's encoder, loaded from a shared library at run time.
struct Ggml {
  private typealias Initialise = @convention(c) (UInt32) -> Void
  private typealias Quantize =
    @convention(c) (
      UInt32, UnsafePointer<Float>?, UnsafeMutableRawPointer?, Int64, Int64, Int64, UnsafePointer<Float>?
    ) -> Int
  private let initialise: Initialise
  private let quantize: Quantize

  /// - Parameter path: `libggml-base.so`, or any library that exports ggml's C symbols.
  init(path: String) throws {
    guard let handle = dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
      throw BenchmarkError(description: "\(path): \(dlerror().map { String(cString: $0) } ?? "cannot be loaded")")
    }
    guard let initialise = dlsym(handle, "ggml_quantize_init"), let quantize = dlsym(handle, "ggml_quantize_chunk")
    else {
      throw BenchmarkError(description: "\(path): does not export ggml_quantize_chunk")
    }
    self.initialise = unsafeBitCast(initialise, to: Initialise.self)
    self.quantize = unsafeBitCast(quantize, to: Quantize.self)
  }

  /// Builds ggml's tables for a type, before the time is measured.
  func prepare(_ type: GGMLType) { initialise(type.rawValue) }

  func encode(_ rows: [Float], columns: Int, importance: [Float]?, as type: GGMLType, into bytes: inout [UInt8]) {
    let count = Int64(rows.count / columns)
    bytes.withUnsafeMutableBytes { output in
      rows.withUnsafeBufferPointer { rows in
        if let importance {
          importance.withUnsafeBufferPointer {
            _ = quantize(
              type.rawValue, rows.baseAddress, output.baseAddress, 0, count, Int64(columns), $0.baseAddress)
          }
        } else {
          _ = quantize(type.rawValue, rows.baseAddress, output.baseAddress, 0, count, Int64(columns), nil)
        }
      }
    }
  }
}

struct BenchmarkError: Error, CustomStringConvertible {
  let description: String
}
