from .support_annotation import AnnotationType, SupportAnnotation

__all__ = ['AnnotationType', 'SupportAnnotation']
