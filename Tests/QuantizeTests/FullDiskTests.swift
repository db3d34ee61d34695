import Files

#if os(Linux)
  import Foundation
  import GGUF
  import Quantize
  import Tensors
  import TestSupport
  import Testing

  /// A disk of four megabytes that becomes full during a run. Only root may mount one.
  @Suite(.enabled(if: geteuid() == 0 && SmallDisk.canMount, "needs to mount a file system")) struct FullDiskTests {
    @Test func runThatFilledTheDiskIsResumed() throws {
      let disk = try SmallDisk(megabytes: 4)
      let output = disk.path("out.gguf")
      var random = SplitMix(seed: 9)
      let model = MemoryModel(
        metadata: ["general.architecture": .string("llama")],
        tensors: (0..<6).map { index in
          ("blk.\(index).ffn_up.weight", [512, 256], (0..<512 * 256).map { _ in random.normal() })
        })
      let plan = RewritePlan(source: model, types: model.tensors.map { _ in .f32 }, metadata: model.metadata)
      var options = RewriteOptions()
      options.identity = RunIdentity(version: "1", source: "s", importance: "none", recipe: "r")

      // No file remains if the disk has no space from the start.
      disk.fill()
      #expect(throws: FileError.self) { _ = try Rewriter(plan).write(to: output, options: options) }
      #expect(disk.contents == ["filler"])
      disk.empty()

      let error = try #require(throws: FileError.self) {
        _ = try Rewriter(plan).write(
          to: output, options: options,
          progress: RunRecorder { if $0.heard.last?.detail == "blk.4.ffn_up.weight" { disk.fill() } })
      }
      #expect(error.code == ENOSPC && error.operation == .write && error.path.hasPrefix(output))
      #expect(disk.contents == ["filler", "out.gguf.journal", "out.gguf.part"])

      // Before writing, the next run reports the missing space.
      let early = try #require(throws: FileError.self) {
        _ = try Rewriter(plan).write(to: output, options: options)
      }
      #expect(early.operation == .reserve && (early.lacking ?? 0) > 1 << 18)
      #expect(disk.contents == ["filler", "out.gguf.journal", "out.gguf.part"])

      disk.empty()
      let report = try Rewriter(plan).write(to: output, options: options)
      #expect(report.resumedTensors >= 3)
      #expect(disk.contents == ["out.gguf"])
      let file = try GGUFFile(path: output)
      for tensor in model.tensors {
        #expect(try file.bytes(of: tensor) == model.bytes(of: tensor))
      }
    }
  }

  extension ModelSource {
    fileprivate func bytes(of tensor: TensorInfo) throws -> [UInt8] {
      var bytes = [UInt8](repeating: 0, count: tensor.shape.bytes(as: tensor.type) ?? 0)
      var span = bytes.mutableSpan
      var raw = span.mutableBytes
      try readBytes(of: tensor, rows: 0..<tensor.shape.rows, into: &raw)
      return bytes
    }
  }
#endif
