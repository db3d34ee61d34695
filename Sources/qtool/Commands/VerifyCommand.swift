import ArgumentParser
import Files
import Foundation
import GGUF
import MLX

struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Check a GGUF: structure, bounds, finite scales, checksums.",
    usage: "qtool verify <file> [<options>]",
    discussion: """
      Reads the whole file once and names the first bad block. Checksums (SHA-256 of every tensor's data) are in \
      FILE.sha256 beside the model. quantize and convert write them with --checksums; --write-checksums makes them for \
      any file.

        qtool verify Llama-3.3-70B-Q4_K_M.gguf
        qtool verify DeepSeek-R1-00001-of-00003.gguf --write-checksums
      """)

  @Argument(help: "A GGUF file (or its first shard).", completion: .file()) var file: String
  @Option(
    name: .long,
    help: ArgumentHelp("Checksums to compare with (default: FILE.sha256, if it exists).", valueName: "file"),
    completion: .file())
  var checksums: String?
  @Flag(name: .long, help: "Write FILE.sha256 if the check passes.") var writeChecksums = false
  @Flag(name: .long, help: "Replace an existing FILE.sha256.") var force = false
  @OptionGroup var options: ThreadOptions

  func validate() throws {
    if writeChecksums, checksums != nil {
      throw ValidationError("--write-checksums can't be combined with --checksums")
    }
  }

  func run() throws {
    let progress = options.apply()
    let path = try HubModels.path(file)
    let mlx = MLXModel.isMLX(path) ? try MLXModel(path: path) : nil
    let gguf = mlx == nil ? try GGUFFile(path: path) : nil
    guard let model: any ModelSource = mlx ?? gguf else { return }
    let bytes = gguf?.bytes ?? model.tensors.reduce(0) { $0 + ($1.shape.bytes(as: $1.type) ?? 0) }
    let file = mlx == nil ? file : MLXOutput.path(file)
    let sidecar = file + TensorChecksums.suffix
    if writeChecksums, !force, FileManager.default.fileExists(atPath: sidecar) {
      throw FileError(.create, path: sidecar, code: EEXIST)
    }
    let expected: TensorChecksums? =
      if let checksums {
        try TensorChecksums(path: checksums)
      } else if !writeChecksums, FileManager.default.fileExists(atPath: sidecar) {
        try TensorChecksums(path: sidecar)
      } else { nil }
    progress.start("verifying \(model.name)", total: bytes, unit: .bytes)
    let sums = try Verification(model, path: file, expected: expected).run(
      progress: StageObserver(progress: progress, total: bytes))
    progress.finish()
    if writeChecksums { try sums.write(to: sidecar, overwrite: force) }
    let compared = expected == nil ? "no checksums to compare with" : "checksums match"
    print(
      "\(file): \(Figures.grouped(model.tensors.count)) tensors, \(Figures.grouped(bytes)) bytes: "
        + "structure, bounds and scales are good; \(writeChecksums ? "wrote \(sidecar)" : compared)")
  }
}
