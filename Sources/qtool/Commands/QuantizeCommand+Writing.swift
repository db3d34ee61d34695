import Checkpoint
import Fit
import GGUF
import Imatrix
import Quantize
import Tensors

extension QuantizeCommand {
  /// Tensors that are published in blocks, beside matrices of floats: MXFP4, and those of a directory.
  func publishedBlocks(of source: any ModelSource, isDirectory: Bool) -> Set<String> {
    let matrices = source.tensors.filter(\.isQuantizable)
    guard matrices.contains(where: { !$0.type.isQuantized }) else { return [] }
    return Set(matrices.filter { $0.type.isQuantized && (isDirectory || $0.type == .mxfp4) }.map(\.name))
  }

  /// Refuses to quantize quantized tensors again without --allow-requantize.
  ///
  /// - Parameter copied: types of the output if it is a copy; nil otherwise.
  func checkRequantizing(
    _ source: any ModelSource, _ copied: [GGMLType]?, _ constraints: TypeConstraints, _ progress: Progress
  ) throws {
    let kept = constraints.kept.filter { name in
      source.tensor(named: name).map { constraints.pinned($0) == $0.type } ?? false
    }
    if let first = source.tensors.first(where: { kept.contains($0.name) }), copied == nil {
      progress.note(
        "note: \(kept.count) tensors, first \(first.name), keep \(first.type), in which they are published; "
          + "--allow-requantize makes them smaller too")
    }
    for (index, tensor) in source.tensors.enumerated()
    where tensor.isQuantizable && tensor.type.isQuantized && copied?[index] != tensor.type
      && !kept.contains(tensor.name)
    {
      guard allowRequantize else { throw QuantizeError.needsRequantize(tensor: tensor.name, type: tensor.type) }
      return progress.note("warning: \(source.name) is already quantized; its errors remain")
    }
  }

  /// Writes the file and prints its types; on a dry run, only prints them.
  ///
  /// - Parameters:
  ///   - save: stores the importance that the pass of error feedback has measured; nil to measure none.
  ///   - compare: compares the file of a fit with stock mixes.
  func finish(
    _ plan: RewritePlan, importance matrix: ImportanceMatrix?, _ feedback: FitFeedback?, _ report: FitReport?,
    saving save: ((ImportanceMatrix) throws -> Void)?,
    comparing compare: (any ModelSource) throws -> FitReport.Written?, to destination: OutputOptions?,
    _ workspace: Workspace?, _ progress: Progress
  ) throws {
    var report = report
    let writing = try feedback.flatMap {
      try FeedbackWriting(
        plan, feedback: $0, importance: matrix, savesImportance: save != nil, forward: options.forward, progress)
    }
    if !outputOptions.dryRun, let destination {
      progress.noteIntegers(in: plan.source)
      if plan.container == nil { for verdict in plan.compatibility.verdicts { progress.note(verdict.line) } }
      if let writing {
        let written = try writing.write(to: destination, importance: matrix, checksums: outputOptions.checksums)
        if let importance = written.importance { try save?(importance) }
      } else {
        _ = try write(plan, importance: matrix, to: destination, checksums: outputOptions.checksums, progress)
      }
      if report?.isEstimated == true {
        do { report?.written = try compare(try openModel(path: destination.output)) } catch is Interruption {
          throw Failure(
            .interrupted, "\(destination.output) is complete; its comparison with stock mixes was interrupted")
        }
        report?.written?.hasFeedback = writing != nil
      }
      workspace?.forgetChoice()
    }
    print(outputOptions.dryRun ? QuantizationTable.tensors(plan) : QuantizationTable.types(plan))
    for line in report?.lines ?? [] { print(line) }
    if report?.isEstimated == true, outputOptions.dryRun {
      print("the drift with error feedback, and that of stock mixes, is measured on the written file")
    }
    if !outputOptions.dryRun, let destination {
      print("\n\(destination.output): \(QuantizationTable.total(plan))")
    }
  }
}
