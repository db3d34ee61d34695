import Files
import Fit
import Imatrix
import Perplexity
import Plan
import Quantize
import Transformer

// Hints for the errors of libraries, which name options and commands. Libraries throw only facts.

extension FormatError {
  /// The library's hint, with the options that help.
  var advice: String? {
    switch topic {
    case .unknownSplitter: "name the splitter it equals with --pre NAME" + (hint.map { "; \($0)" } ?? "")
    case .nonFiniteWeight: Advice.nonFiniteWeight
    case .misnamedSplitter, .needlessSplitter, nil: hint
    }
  }
}

private enum Advice {
  static let nonFiniteWeight =
    "the checkpoint is damaged: download it again, or write such weights as zero with --replace-nonfinite 0"
}

extension OtherRun {
  var hint: String { "--restart starts over; another output name keeps both" }
}

extension PartsError {
  var hint: String {
    switch self {
    case .missing(_, let parts, let count, let arguments):
      "do each with: \(Interruption.quoted(["qtool"] + arguments)) --part \(parts.first?.number ?? 1)/\(count)"
    case .different, .other, .severalCounts:
      "remove the files of the parts (.part-*) that are not wanted, or name another output"
    case .noData(let output, _): "remove \(output).part-*, and do all parts again"
    case .damaged(let output, let part, _):
      "remove \(PartRecord.prefix(output, part)).json, and do the part again with --part \(part)"
    case .leftover(let output, _):
      "`qtool join \(output)` makes their result; else remove \(output).part*, or name another output"
    case .begun(let output): "finish it, or remove \(output).journal and \(output).part"
    case .tooMany(_, let units, _): "use at most \(units) parts"
    }
  }
}

extension KeptStatesError {
  var hint: String? {
    switch self {
    case .other: "remove the folder, or name another one"
    case .damaged(let path, _, let origin):
      "remove \(path)" + (origin.map { ", and make it again with: \(Self.command($0))" } ?? "")
    case .missing(_, _, _, _, let origin?): "make them with: \(Self.command(origin))"
    case .noLayer(let folder, _, _), .missing(let folder, _, _, _, nil):
      "keep them with: qtool imatrix MODEL -o FILE --keep-states \(Interruption.quoted([folder])) --feedback-sections COUNT, "
        + "with the sections that quantize gets"
    case .carried: "leave out --keep-states: parts of quantize then compute the states"
    }
  }

  /// The command that makes the states of its part again. Its output may have been joined already.
  private static func command(_ origin: KeptStates.Origin) -> String {
    Interruption.quoted(["qtool"] + origin.arguments.filter { $0 != "--force" })
      + (origin.part.map { " --part \($0)" } ?? "") + " --force"
  }
}

extension QuantizeError {
  var hint: String? {
    switch self {
    case .targetTooSmall(_, let smallest, _): "raise --target to \((smallest + 999) / 1000)kB or more"
    case .constraintsTooLarge(_, let smallest, _):
      "raise --target to \((smallest + 999) / 1000)kB or more, pin fewer tensors, or, for tensors that keep their published "
        + "blocks, give --allow-requantize"
    case .targetTooLarge(_, _, let largest): "the unchanged model fits: lower --target below \(largest)B, or use --type"
    case .nonFiniteWeight: Advice.nonFiniteWeight
    case .beyondHalf: "write BF16 or F32"
    case .needsImportance(let tensor, _):
      "give --imatrix FILE or --calibration DIR, or, where they lack this tensor, a type: --pin '\(tensor)=Q2_K'"
    case .notEncodable, .unsupported: nil
    case .noSuchLayer, .noLayerLeft: "--prune-layers takes numbers of layers that the model has, and not all of them"
    case .importanceOfOtherSize: "the importance matrix is of another model"
    case .writtenWrong: "the disk or the memory is faulty"
    case .needsRequantize: "quantize the original; --allow-requantize adds further errors"
    }
  }
}

extension RecipeError {
  var hint: String? {
    switch self {
    case .badRule: "write REGEX=TYPE, such as 'attn_v=Q6_K'"
    case .unknownType: "types are named as in llama.cpp: Q4_K, IQ2_XXS, F16, ...; those of MLX: 4bit, 4bit/32, ..."
    case .unmatched: "compare the pattern with `qtool inspect --tensors`, or give --lenient"
    case .integers: "leave the rule out, or give --lenient"
    case .within(_, let error): error.hint
    case .malformed: "a recipe has `base: TYPE` or `mix: NAME`, and a list `rules` of REGEX=TYPE"
    }
  }
}

extension ForwardError {
  var hint: String? {
    switch self {
    case .nonFinite: "the model's weights or its metadata are damaged; try the original checkpoint"
    case .budgetTooSmall(_, let minimum):
      "pass --memory \((minimum + (1 << 20) - 1) >> 20)MiB or more, or a shorter text"
    case .missingKey, .invalidKey, .missingTensor, .wrongShape, .integers:
      "the model was converted incompletely; convert it again"
    default: nil
    }
  }
}

extension ScoringError {
  var hint: String? {
    switch self {
    case .badWindow: nil
    case .textTooShort: "give more text, or a smaller --ctx"
    case .unknownToken, .vocabulariesDiffer, .tokensDiffer: "compare models that share a tokenizer"
    case .nonFiniteLogits: "some weights may be damaged: run qtool verify"
    case .positionsDiffer: nil
    }
  }
}

extension ReferenceError {
  var hint: String? {
    switch self {
    case .malformed: "the file is truncated or damaged: make it again"
    case .mismatch: "make a reference of this model, text and context"
    case .notExpressible: "save a .qref reference instead"
    }
  }
}

extension ImatrixError {
  var hint: String? {
    switch self {
    case .malformed, .notANumber, .empty: "make it again with `qtool imatrix`"
    case .otherModel, .nothingFits: "make one for this model with `qtool imatrix`"
    case .unmergeable: "merge only files that were made from one model"
    }
  }
}

extension CalibrationError {
  var hint: String? {
    switch self {
    case .missing, .emptyDirectory: "name calibration text, or a folder of it"
    case .tooShort: "give more text, or shorter windows with --ctx"
    case .nothingLeft: "skip fewer windows with --from-chunk, or give more text"
    default: nil
    }
  }
}

extension SensitivityError {
  var hint: String? { "measure this model's with `qtool sensitivity`" }
}

extension PlanError {
  /// The library's hint, with the options that help.
  var advice: String? {
    switch topic {
    case .machine:
      (hint.map { "\($0); or " } ?? "") + "describe one to qtool plan with --memory 256GB --bandwidth 819GB/s"
    case .shape: "qtool plan --list shows the names"
    case .cacheType: "plan with --kv f16"
    case nil: hint
    }
  }
}
