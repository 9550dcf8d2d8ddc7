"""What is written of a run for people: tables, figures, pictures, and the handlers that write them."""

from medbundles.reports.augmented_samples import AugmentedSamples as AugmentedSamples
from medbundles.reports.case_writer import CaseWriter as CaseWriter
from medbundles.reports.evaluation_report import EvaluationReport as EvaluationReport
from medbundles.reports.grad_cam import GradCam as GradCam
from medbundles.reports.inference_writer import InferenceWriter as InferenceWriter
from medbundles.reports.label_map_writer import LabelMapWriter as LabelMapWriter
from medbundles.reports.learning_curves import LearningCurves as LearningCurves
from medbundles.reports.prediction_pictures import PredictionPictures as PredictionPictures
from medbundles.reports.reconstruction_pictures import ReconstructionPictures as ReconstructionPictures
from medbundles.reports.reconstruction_writer import ReconstructionWriter as ReconstructionWriter
from medbundles.reports.run_page import RunPage as RunPage
from medbundles.reports.validation_report import ValidationReport as ValidationReport
