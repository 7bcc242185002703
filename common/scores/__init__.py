"""How good are the pictures? The scores, each with its floor and a degraded reference beside it.

Classifier path (default, offline): a small frozen classifier gives 64 features a picture. Its scores have names of their own,
because they cannot be compared with published ones:

    FCD        Fréchet distance of two Gaussians fitted to the features, ‖μ₁−μ₂‖² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½); 0 is best
    KCD        kernel distance (unbiased MMD², cubic polynomial kernel); 0 is best, small negative values are noise
    CS         classifier score exp E KL(p(y|x) ‖ p(y)), above 1 and below 10 (digits) or 35 (hair styles of faces). A mean over
               ten parts, as IS. It ignores the reference, so never rank by it alone
    precision  share of generated pictures that lie where real ones do (k = 3 nearest neighbours)
    recall     share of real pictures that lie where generated ones do

Inception path: the published FID, KID and IS, the same three formulas on the features of a network that has to be downloaded.
Compare scores only at the same network, N and reference.
"""

from common.scores.classifier import Classifier, embed
from common.scores.direct import beside_nearest, distances, modes_covered, nearest
from common.scores.reference import Yardstick, has_classifier, held_out, own_yardstick, yardstick
from common.scores.tables import Scores, evaluate, fcd, inception_report, judge, report
