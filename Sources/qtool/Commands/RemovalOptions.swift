import ArgumentParser
import Checkpoint
import Files
import Foundation
import GGUF
import Quantize

/// The removal of a model's shards while it is quantized, on disks that do not hold model and output together.
struct RemovalOptions: ParsableArguments {
  @Flag(
    name: .long,
    help: """
      Remove each safetensors shard of the model's directory when all outputs hold its tensors, verified and on the disk. \
      Asks first.
      """)
  var deleteShards = false
  @Flag(
    name: .long, help: "With --delete-shards: remove them without asking, even if they are the last copies.")
  var yesDeleteSource = false

  func validate() throws {
    if yesDeleteSource, !deleteShards { throw ValidationError("--yes-delete-source needs --delete-shards") }
  }

  /// The word that is asked for.
  private static let word = "delete"

  /// The removal of a run's source; nil without --delete-shards.
  ///
  /// - Parameters:
  ///   - source: the model that is written.
  ///   - outputs: the number of files that are made of it.
  /// - Throws: `Failure` where the model can't be removed, or the person does not want it.
  func removal(of source: any ModelSource, outputs: Int, _ progress: Progress) throws -> SourceRemoval? {
    guard deleteShards else { return nil }
    let model = (source as? FiniteModel)?.base ?? source
    guard let directory = model as? CheckpointDirectory else {
      throw Failure(
        .usage, "--delete-shards: \(source.name) is not a directory of safetensors that is written as a GGUF",
        hint: "leave --delete-shards out, and remove the model by hand")
    }
    if let obstacle = directory.obstacleToRemoving {
      throw Failure(
        .usage, "--delete-shards: \(directory.directory): \(obstacle)",
        hint: "leave --delete-shards out, and remove the model by hand")
    }
    try directory.excludeOthers()
    try confirm(directory)
    return SourceRemoval(of: directory, outputs: outputs) { file in
      let left = directory.files.count { access($0, F_OK) == 0 }
      progress.note("removed \(file); \(left) of \(directory.files.count) shards remain")
    }
  }

  private func confirm(_ directory: CheckpointDirectory) throws {
    let files = directory.files.filter { !directory.removedFiles.contains($0) }
    guard !yesDeleteSource, !files.isEmpty else { return }
    if let last = directory.possibleLastCopies.first {
      throw Failure(
        .usage, "--delete-shards: \(last) may be the last copy: no record says that it is a download of the hub",
        hint: "--yes-delete-source removes it nevertheless")
    }
    guard isatty(0) == 1, isatty(2) == 1 else {
      throw Failure(
        .usage, "--delete-shards: asks before it removes the model, and there is no terminal",
        hint: "--yes-delete-source answers in advance")
    }
    let bytes = files.reduce(0) { $0 + ((try? PositionedFile(path: $1).size) ?? 0) }
    Terminal.write(
      "\(files.count) shards of \(directory.directory) (\(Figures.bytes(bytes))) will be removed while their tensors are "
        + "written. Type \(Self.word) to go on:")
    guard readLine()?.trimmingCharacters(in: .whitespaces) == Self.word else {
      throw Failure(.usage, "--delete-shards: nothing was removed", hint: "leave the option out to keep the model")
    }
  }
}
