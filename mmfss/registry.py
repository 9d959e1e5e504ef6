"""The registries of mmfss: scope ``mmfss``, children of mmengine's roots.

``mmfss.X`` resolves from any scope; a registry without modules of ours is here
so that ``default_scope = 'mmfss'`` finds its parent without a warning.
"""
from mmengine import registry as root
from mmengine.registry import Registry


def _child(parent: Registry, *locations: str) -> Registry:
    return Registry(
        parent.name, scope='mmfss', parent=parent, locations=list(locations))


RUNNERS = _child(root.RUNNERS)
RUNNER_CONSTRUCTORS = _child(root.RUNNER_CONSTRUCTORS)
LOOPS = _child(root.LOOPS, 'mmfss.engine.loops')
HOOKS = _child(root.HOOKS, 'mmfss.engine.hooks')
DATASETS = _child(root.DATASETS, 'mmfss.datasets')
DATA_SAMPLERS = _child(root.DATA_SAMPLERS, 'mmfss.datasets.samplers')
TRANSFORMS = _child(root.TRANSFORMS, 'mmfss.datasets.transforms')
MODELS = _child(root.MODELS, 'mmfss.models')
MODEL_WRAPPERS = _child(root.MODEL_WRAPPERS)
WEIGHT_INITIALIZERS = _child(root.WEIGHT_INITIALIZERS)
OPTIMIZERS = _child(root.OPTIMIZERS)
OPTIM_WRAPPERS = _child(root.OPTIM_WRAPPERS, 'mmfss.engine.optimizers')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    root.OPTIM_WRAPPER_CONSTRUCTORS, 'mmfss.engine.optimizers')
PARAM_SCHEDULERS = _child(root.PARAM_SCHEDULERS)
METRICS = _child(root.METRICS, 'mmfss.evaluation')
EVALUATOR = _child(root.EVALUATOR)
TASK_UTILS = _child(root.TASK_UTILS)
VISUALIZERS = _child(root.VISUALIZERS, 'mmfss.visualization')
VISBACKENDS = _child(root.VISBACKENDS)
LOG_PROCESSORS = _child(root.LOG_PROCESSORS)
INFERENCERS = _child(root.INFERENCERS)
FUNCTIONS = _child(root.FUNCTIONS)
